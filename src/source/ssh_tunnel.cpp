/*
 * source/ssh_tunnel.cpp
 *
 * See ssh_tunnel.hpp.
 */
#include "source/ssh_tunnel.hpp"

#include "base/failpoint.hpp"
#include "base/settings.hpp"
#include "source/child_process.hpp"
#include "source/ssh_address.hpp"
#include "source/ssh_files.hpp"
#include "source/waiting.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace source
{

struct Tunnel
{
	pid_t pid; /* 0: it does not run */
	SshFolder folder;
	char *address; /* for messages */
};

namespace
{

constexpr int kMostArguments = 64;
constexpr long kLookEveryMs = 20;
constexpr const char *kLocalPort = "5432"; /* part of the socket's name only */

struct Arguments
{
	const char *values[kMostArguments + 1];
	int count;
};

void
add(Arguments *arguments, const char *value)
{
	Assert(arguments->count < kMostArguments);
	arguments->values[arguments->count++] = value;
}

void
add_option(Arguments *arguments, const char *option)
{
	add(arguments, "-o");
	add(arguments, option);
}

/* Nothing of the server user's own configuration, agent or keys has a say. */
void
add_fixed_options(Arguments *arguments)
{
	static const char *const kOptions[] = {
		"BatchMode=yes",		   "ExitOnForwardFailure=yes", "PreferredAuthentications=publickey",
		"IdentitiesOnly=yes",	   "IdentityAgent=none",	   "GlobalKnownHostsFile=/dev/null",
		"HashKnownHosts=no",	   "UpdateHostKeys=no",		   "CheckHostIP=no",
		"ConnectTimeout=10",	   "ServerAliveInterval=15",   "ServerAliveCountMax=3",
		"TCPKeepAlive=yes",		   "ControlMaster=no",		   "ControlPath=none",
		"PermitLocalCommand=no",   "ForwardAgent=no",		   "ForwardX11=no",
		"StreamLocalBindMask=0177"};

	add(arguments, "-F");
	add(arguments, "none");
	add(arguments, "-N");
	add(arguments, "-T");
	for (const char *option : kOptions)
		add_option(arguments, option);
}

const char *
known_hosts_of(const SshAccess &access, const SshAddress &address)
{
	const char *given = known_hosts_line(address);

	return given != nullptr ? given : access.known_hosts;
}

/* Free a moment ago, so probably free still; ssh ends when it is not. */
int
find_free_port()
{
	struct sockaddr_in address = {};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bool is_found = fd >= 0 && bind(fd, (struct sockaddr *) &address, size) == 0 &&
					getsockname(fd, (struct sockaddr *) &address, &size) == 0;

	if (fd >= 0)
		(void) close(fd);
	if (!is_found)
		ereport(ERROR, (errcode_for_socket_access(),
						errmsg("could not find a free port for an SSH tunnel: %m")));
	return ntohs(address.sin_port);
}

bool
demands_tls(const Parameters &parameters)
{
	const char *mode = get_parameter(parameters, "sslmode");

	return mode != nullptr && (strcmp(mode, "require") == 0 || strcmp(mode, "verify-ca") == 0 ||
							   strcmp(mode, "verify-full") == 0);
}

const char *
value_or(const char *value, const char *otherwise)
{
	return value == nullptr || value[0] == '\0' ? otherwise : value;
}

/* What the bastion shall connect to: a host and its port, or a socket there. */
char *
far_end(const Parameters &parameters)
{
	const char *host = value_or(get_parameter(parameters, "hostaddr"),
								value_or(get_parameter(parameters, "host"), "localhost"));
	const char *port = value_or(get_parameter(parameters, "port"), "5432");

	if (host[0] == '/')
		return psprintf("%s/.s.PGSQL.%s", host, port);
	return psprintf(strchr(host, ':') != nullptr ? "[%s]:%s" : "%s:%s", host, port);
}

/*
 * The forward to the socket comes last: ssh makes them in this order, so when the socket is there all are ready.
 */
void
add_forwards(Arguments *arguments, const Tunnel *tunnel, Parameters *parameters)
{
	char *end = far_end(*parameters);
	char *folder = socket_folder(tunnel->folder);

	if (demands_tls(*parameters) && end[0] != '/')
	{
		int port = find_free_port();

		add(arguments, "-L");
		add(arguments, psprintf("127.0.0.1:%d:%s", port, end));
		set_parameter(parameters, "host",
					  value_or(get_parameter(*parameters, "host"), "localhost"));
		set_parameter(parameters, "hostaddr", "127.0.0.1");
		set_parameter(parameters, "port", psprintf("%d", port));
	}
	else
	{
		set_parameter(parameters, "host", folder);
		set_parameter(parameters, "hostaddr", nullptr);
		set_parameter(parameters, "port", kLocalPort);
	}
	add(arguments, "-L");
	add(arguments, psprintf("%s/.s.PGSQL.%s:%s", folder, kLocalPort, end));
}

void
start_ssh(Tunnel *tunnel, const SshAccess &access, Parameters *parameters)
{
	SshAddress address = parse_ssh_address(access.address);
	const char *known_hosts = known_hosts_of(access, address);
	char *key = file_in(tunnel->folder, "key");
	char *hosts = file_in(tunnel->folder, "known_hosts");
	Arguments arguments{};

	write_file(key, access.private_key);
	write_file(hosts, value_or(known_hosts, ""));
	add(&arguments, base::settings::ssh_program);
	add_fixed_options(&arguments);
	add_option(&arguments, psprintf("UserKnownHostsFile=%s", hosts));
	add_option(&arguments, value_or(known_hosts, nullptr) != nullptr
							   ? "StrictHostKeyChecking=yes"
							   : "StrictHostKeyChecking=accept-new");
	add(&arguments, "-i");
	add(&arguments, key);
	add_forwards(&arguments, tunnel, parameters);
	add(&arguments, "-p");
	add(&arguments, address.port);
	add(&arguments, "-l");
	add(&arguments, address.user);
	add(&arguments, "--");
	add(&arguments, address.host);
	tunnel->pid = start_child(arguments.values, file_in(tunnel->folder, "output"));
}

bool
is_ready(const Tunnel *tunnel)
{
	struct stat found;

	return stat(psprintf("%s/.s.PGSQL.%s", tunnel->folder.path, kLocalPort), &found) == 0;
}

const char *
hint_for(const char *said, int exit_code)
{
	if (exit_code == kNotFound)
		return "Install OpenSSH's client (package openssh-client), or say with "
			   "livesync.ssh_program where it is.";
	if (strstr(said, "Permission denied") != nullptr)
		return "Add the key that livesync.ssh_public_key() shows to the file authorized_keys of "
			   "that user there.";
	if (strstr(said, "Host key verification failed") != nullptr ||
		strstr(said, "host key") != nullptr)
		return "If the SSH server has a new key for a reason that you know, call "
			   "livesync.alter_connector(name, ssh_tunnel => ...) again: then its next key is taken.";
	return nullptr;
}

[[noreturn]] void
raise_tunnel_failure(const Tunnel *tunnel, int exit_code)
{
	const char *said = tunnel_messages(tunnel);
	const char *hint = hint_for(said, exit_code);

	if (exit_code == kNotFound)
		said = psprintf("The program \"%s\" is not installed on this server.",
						base::settings::ssh_program);
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("could not open an SSH tunnel through \"%s\"", tunnel->address),
					said[0] != '\0' ? errdetail_internal("%s", said) : 0,
					hint != nullptr ? errhint("%s", hint) : 0));
}

void
wait_until_ready(Tunnel *tunnel, int timeout_s)
{
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), static_cast<int64>(timeout_s) * 1000);
	int exit_code;

	while (!is_ready(tunnel))
	{
		if (has_ended(tunnel->pid, &exit_code))
		{
			tunnel->pid = 0;
			raise_tunnel_failure(tunnel, exit_code);
		}
		if (remaining_ms(deadline) == 0)
			ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
							errmsg("could not open an SSH tunnel through \"%s\"", tunnel->address),
							errdetail("It did not answer within %d s.", timeout_s)));
		(void) wait_step(PGINVALID_SOCKET, 0, kLookEveryMs);
	}
}

} // namespace

void
open_tunnel(Tunnel **tunnel, const SshAccess &access, Parameters *parameters, int timeout_s)
{
	Tunnel *it = static_cast<Tunnel *>(palloc0(sizeof(Tunnel)));

	it->address = pnstrdup(access.address, strcspn(access.address, " "));
	it->folder = make_ssh_folder();
	*tunnel = it;
	if (access.private_key == nullptr)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("there is no key pair for SSH yet"),
						errhint("Call livesync.ssh_public_key(), and add what it shows to the file "
								"authorized_keys of the SSH server.")));
	start_ssh(it, access, parameters);
	base::failpoint("tunnel_started");
	wait_until_ready(it, timeout_s);
	/* it has read it */
	(void) unlink(file_in(it->folder, "key"));
}

void
close_tunnel(Tunnel **tunnel)
{
	Tunnel *it = *tunnel;

	if (it == nullptr)
		return;
	*tunnel = nullptr;
	if (it->pid != 0)
		end_child(it->pid);
	remove_ssh_folder(&it->folder);
}

char *
tunnel_messages(const Tunnel *tunnel)
{
	return read_file(file_in(tunnel->folder, "output"));
}

char *
accepted_host_key(const Connection *connection)
{
	if (connection->tunnel == nullptr)
		return nullptr;
	return read_file(file_in(connection->tunnel->folder, "known_hosts"));
}

} // namespace source
