/*
 * test/fuzz/make_corpus.cpp
 *
 * Owns: writing the golden messages of the unit tests as the fuzzer's first corpus.
 *
 * In: a directory. Out: one file for each message, with the stream flag as its first byte.
 *
 * Must not know: the decoder.
 *
 * The surprising thing: the files are committed although this makes them, so that the fuzzer runs
 * without a build step and a formerly found input can lie beside them.
 */
#include <cstdio>

#include "golden.hpp"

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: %s directory\n", argv[0]);
		return 2;
	}
	for (const golden::Message &m : golden::messages())
	{
		std::string path = std::string(argv[1]) + "/" + m.name;
		std::string content = (m.in_stream ? '\1' : '\0') + m.bytes;
		FILE *file = fopen(path.c_str(), "wb");

		if (file == nullptr || fwrite(content.data(), 1, content.size(), file) != content.size() ||
			fclose(file) != 0)
		{
			perror(path.c_str());
			return 1;
		}
	}
	return 0;
}
