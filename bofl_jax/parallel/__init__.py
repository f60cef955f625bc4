"""How clients run on devices and processes."""
