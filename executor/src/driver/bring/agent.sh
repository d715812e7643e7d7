# What the two scripts share: the agent runs. As root.
#   $root  the node's folder

unit_text() {
    cat << UNIT
[Unit]
Description=cloudtik: steps and daemons of this node
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=$root/bin/cloudtik node --boot $root/boot.json
Restart=always
RestartSec=1
# It stops its daemons in their order; what is left after that goes with it.
KillMode=mixed
TimeoutStopSec=120
# One daemon that the kernel ends for its memory is that daemon's affair.
OOMPolicy=continue
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
UNIT
}

agent_answers() {
    "$root/bin/cloudtik" node status --root "$root" > /dev/null
}

agent_runs() {
    if [ -d /run/systemd/system ]; then
        unit=/etc/systemd/system/cloudtik-node.service
        if ! unit_text | cmp -s - "$unit"; then
            unit_text > "$unit.new"
            mv -f "$unit.new" "$unit"
            systemctl daemon-reload
        fi
        systemctl enable --quiet --now cloudtik-node.service
    elif [ ! -S "$root/run/agent.sock" ] || ! agent_answers 2> /dev/null; then
        # Nothing here starts it again when it ends, or after a boot; whoever has the next step for this node does.
        (umask 077 && : >> "$root/agent.log")
        setsid "$root/bin/cloudtik" node --boot "$root/boot.json" >> "$root/agent.log" 2>&1 < /dev/null &
    fi
    agent_answers && return
    [ ! -f "$root/agent.log" ] || tail -n 3 "$root/agent.log" >&2
    return 1
}
