"""What runs on an agent: with any Python from 3.9 on, without anything but its standard library, sent over ssh.

`server` answers one controller; `supervisors` are processes that outlive every server, and each runs a `build`; `files`
is what both know of files. They import nothing else of byoci, and nothing is installed on the agent.
"""
