# Modules of the group. Here they are an environment without packages, which this file makes.
test -d group || python3 -m venv --without-pip group
. group/bin/activate
