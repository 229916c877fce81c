"""What cameras tell a broker of MQTT. Knows no camera and no HTTP."""
