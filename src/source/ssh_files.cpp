/*
 * source/ssh_files.cpp
 *
 * See ssh_files.hpp.
 */
#include "source/ssh_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace source
{
namespace
{

constexpr const char *kParent = "pg_livesync";

/* All that we, ssh and ssh-keygen put into a folder. */
constexpr const char *kNames[] = {"key",	"key.pub",		"known_hosts", "known_hosts.old",
								  "output", ".s.PGSQL.5432"};

[[noreturn]] void
raise_file_error(const char *doing, const char *path)
{
	ereport(ERROR, (errcode_for_file_access(), errmsg("could not %s \"%s\": %m", doing, path)));
}

void
make_private_folder(const char *path)
{
	if (mkdir(path, S_IRWXU) != 0 && errno != EEXIST)
		raise_file_error("create directory", path);
}

} // namespace

SshFolder
make_ssh_folder()
{
	static int number = 0;
	SshFolder folder{};

	make_private_folder(kParent);
	snprintf(folder.path, sizeof(folder.path), "%s/%d_%d", kParent, MyProcPid, ++number);
	make_private_folder(folder.path);
	return folder;
}

void
remove_ssh_folder(SshFolder *folder)
{
	char path[sizeof(folder->path) + 32];

	if (folder->path[0] == '\0')
		return;
	/* no memory is taken: this may run while a context is being reset */
	for (const char *name : kNames)
	{
		snprintf(path, sizeof(path), "%s/%s", folder->path, name);
		(void) unlink(path);
	}
	(void) rmdir(folder->path);
	folder->path[0] = '\0';
}

char *
file_in(const SshFolder &folder, const char *name)
{
	return psprintf("%s/%s", folder.path, name);
}

char *
socket_folder(const SshFolder &folder)
{
#ifdef __linux__
	return psprintf("/proc/self/cwd/%s", folder.path);
#else
	return psprintf("%s/%s", DataDir, folder.path);
#endif
}

void
write_file(const char *path, const char *content)
{
	int file = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
	ssize_t length = static_cast<ssize_t>(strlen(content));

	if (file < 0)
		raise_file_error("create file", path);
	if (write(file, content, static_cast<size_t>(length)) != length)
		raise_file_error("write file", path);
	(void) CloseTransientFile(file);
}

char *
read_file(const char *path)
{
	constexpr size_t kMost = 8192;
	char *text = static_cast<char *>(palloc0(kMost + 1));
	int file = OpenTransientFile(path, O_RDONLY);

	if (file < 0)
		return text;
	ssize_t length = read(file, text, kMost);

	(void) CloseTransientFile(file);
	while (length > 0 && isspace(static_cast<unsigned char>(text[length - 1])))
		length--;
	text[Max(length, 0)] = '\0';
	return text;
}

void
remove_all_ssh_folders()
{
	struct stat found;

	if (stat(kParent, &found) == 0)
		(void) rmtree(kParent, true);
}

} // namespace source
