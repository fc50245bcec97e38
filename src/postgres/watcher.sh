# The watcher: runs initdb and postgres for an owner that may vanish at any moment. `watcher.rs`
# starts it with
#   $1               the cluster's folder
#   $2               the folder with initdb and postgres
#   standard input   a pipe that only the owner holds: `start PORT`, then `signal NAME`, and so on.
#                    Its end is the owner's end.
#   standard output  reports: `initialized STATUS`, `started PID`, `ended STATUS`
#   standard error   the log, locked as long as anything here runs (see folder.rs)
folder=$1
bin=$2

# Only the end of the owner ends the watcher; writing a report nobody reads must not.
trap '' HUP INT TERM PIPE
exec 3<&0 </dev/null

"$bin/initdb" -D "$folder/data" -U postgres --pwfile="$folder/password" --auth-local=trust --auth-host=scram-sha-256 \
    -E UTF8 --locale=C --no-sync --no-instructions >&2 3<&-
echo "initialized $?"
rm -f "$folder/password"

# Passes the owner's next signal on to the server. The owner's end counts as QUIT, which is
# Postgres's immediate stop.
listen() {
    read -r verb signal <&3 || signal=QUIT
    # sh starts a job with QUIT and INT ignored. Postgres has its own handlers by the time it
    # writes its process id.
    until [ "$(head -n 1 "$folder/data/postmaster.pid")" = "$server" ]; do sleep 0.05; done
    kill -s "$signal" "$server"
}

while read -r verb port <&3; do
    # A signal for a server that has ended by itself.
    [ "$verb" = start ] || continue
    "$bin/postgres" -D "$folder/data" -p "$port" >&2 3<&- &
    server=$!
    listen 2>/dev/null &
    listener=$!
    echo "started $server"
    wait "$server"
    status=$?
    kill -s KILL "$listener"
    wait "$listener" 2>/dev/null
    echo "ended $status"
done

# Backends outlive a killed postmaster for a moment and may still write.
tries=0
until rm -rf "$folder" || [ $((tries += 1)) -ge 100 ]; do sleep 0.1; done
