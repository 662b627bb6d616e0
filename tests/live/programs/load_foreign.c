/* SPDX-License-Identifier: Apache-2.0 */
/* load_foreign LIBRARY WORDS: says and hears the words through the library of foreign.c. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *made(void *context);
typedef int moved(void *ssl, void *buffer, int size);
typedef void freed(void *ssl);

int main(int argc, char **argv)
{
	void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	char buffer[256];
	void *ssl;
	int size;

	if (!library)
		return 99;
	puts("ready");
	fflush(stdout);
	if (!fgets(buffer, sizeof(buffer), stdin))
		return 98;
	ssl = ((made *)dlsym(library, "SSL_new"))(NULL);
	size = ((moved *)dlsym(library, "SSL_write"))(ssl, argv[2], (int)strlen(argv[2]));
	if (((moved *)dlsym(library, "SSL_read"))(ssl, buffer, sizeof(buffer)) != size)
		return 97;
	((freed *)dlsym(library, "SSL_free"))(ssl);
	return 0;
}
