"""What runs on an agent: with any Python from 3.9 on, without anything but its standard library, sent over ssh.

`server` answers one controller; `build` is the supervisor that owns one build and outlives every server; `files` is
what both know of files. They import nothing else of byoci, and nothing is installed on the agent.
"""
