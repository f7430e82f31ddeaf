/*
 * source/ssh_key.cpp
 *
 * See ssh_key.hpp.
 */
#include "source/ssh_key.hpp"

#include "base/settings.hpp"
#include "source/child_process.hpp"
#include "source/ssh_files.hpp"
#include "source/waiting.hpp"

namespace source
{
namespace
{

/* Beside the program ssh when that has a path. */
char *
keygen_program()
{
	const char *ssh = base::settings::ssh_program;
	const char *slash = strrchr(ssh, '/');

	return slash == nullptr
			   ? pstrdup("ssh-keygen")
			   : psprintf("%s/ssh-keygen", pnstrdup(ssh, static_cast<Size>(slash - ssh)));
}

/* Only a moment: nobody is asked anything. */
int
run_to_the_end(const char *const *argv, const char *output)
{
	pid_t pid = start_child(argv, output);
	int code;

	while (!has_ended(pid, &code))
		pg_usleep(5000L);
	return code;
}

} // namespace

SshKeyPair
make_ssh_key_pair()
{
	SshFolder folder = make_ssh_folder();
	char *program = keygen_program();
	char *key = file_in(folder, "key");
	const char *const argv[] = {program, "-q",		 "-t", "ed25519", "-N",	  "",
								"-C",	 "livesync", "-f", key,		  nullptr};
	int code = run_to_the_end(argv, file_in(folder, "output"));
	char *said = read_file(file_in(folder, "output"));
	SshKeyPair pair{psprintf("%s\n", read_file(key)), read_file(file_in(folder, "key.pub"))};

	remove_ssh_folder(&folder);
	if (code == kNotFound)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FILE),
						errmsg("the program \"%s\" is not installed on this server", program),
						errhint("Install OpenSSH's client (package openssh-client), or say with "
								"livesync.ssh_program where it is.")));
	if (code != 0 || pair.public_key[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
						errmsg("could not make a key pair for SSH"), errdetail("%s", said)));
	return pair;
}

} // namespace source
