/*
 * source/ssh_files.hpp
 *
 * The short-lived files of the programs ssh and ssh-keygen: each run of them has a folder of its own, which nobody but
 * the server's user can look into, below pg_livesync in the data directory.
 *
 * Surprising: the name of a socket has room for some hundred characters, and data directories have longer ones.  So
 * sockets are reached through /proc/self/cwd, which is the data directory in our processes and in what they start.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

struct SshFolder
{
	char path[64]; /* relative to the data directory; "": none */
};

SshFolder make_ssh_folder();
void remove_ssh_folder(SshFolder *folder);

char *file_in(const SshFolder &folder, const char *name);
/* An absolute and short path. */
char *socket_folder(const SshFolder &folder);

void write_file(const char *path, const char *content);
/* Up to its first 8 kB, without white space at its end; "" when there is none. */
char *read_file(const char *path);

/* What killed processes left; in the postmaster, while no other process of the server runs. */
void remove_all_ssh_folders();

} // namespace source
