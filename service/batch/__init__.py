"""Archives: a table with a row for each of many videos, made by runs that may be killed and go on."""
