"""The app in a browser: a local web server that starts one app for each open page."""
