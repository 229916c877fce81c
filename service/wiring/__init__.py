"""Opens the parts of one replica, each from the settings, and closes them again. `service.app` puts them together."""
