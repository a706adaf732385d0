# What a hostile proposal would try. This test passes only when every attempt came to nothing, so that its landing is
# the proof that the worker was sealed.
got=0

stolen() {
    echo "GOT THROUGH: $1"
    got=1
}

refused() {
    echo "refused: $1"
}

# Credentials: the homes of people, keys, the host's passwords, byoci's own state.
for place in /root /home/* /etc/shadow /etc/ssh /etc/sudoers /run/secrets @BYOCI_HOME@; do
    [ "$place" = "$HOME" ] && continue
    if [ -n "$(ls -A "$place" 2>/dev/null)" ]; then
        stolen "reading $place"
    else
        refused "reading $place"
    fi
done
if env | grep -E -i 'ssh_auth_sock|token|password|secret|credential' >/dev/null; then
    stolen "a credential in the environment"
else
    refused "a credential in the environment"
fi
if [ "$(ls /proc | grep -c '^[0-9]*$')" -gt 64 ] || grep -z . /proc/1/environ 2>/dev/null | grep -q BYOCI_HOME; then
    stolen "seeing the host's processes"
else
    refused "seeing the host's processes"
fi

# The network: somebody outside, and services of this host.
for address in 192.0.2.1/80 127.0.0.1/22 127.0.0.1/631 169.254.169.254/80; do
    if timeout 3 bash -c "exec 3<>/dev/tcp/$address" 2>/dev/null; then
        stolen "connecting to $address"
    else
        refused "connecting to $address"
    fi
done

# More rights, and the host's files.
if unshare --user true 2>/dev/null; then stolen "a user namespace of its own"; else refused "a user namespace of its own"; fi
if (echo x >/usr/byoci-was-here) 2>/dev/null; then stolen "writing to /usr"; else refused "writing to /usr"; fi

# Outliving the worker: whoever set up this site looks for a process of this name when the worker is gone.
(exec setsid bash -c 'exec -a @MARKER@ sleep 3600' >/dev/null 2>&1 &)

[ "$got" -eq 0 ]
