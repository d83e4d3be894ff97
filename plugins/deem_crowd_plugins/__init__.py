"""The plugins that come with deem-crowd. They register as a stranger's plugin would."""
