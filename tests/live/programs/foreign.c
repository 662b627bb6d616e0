/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library with the names of libssl and code of its own: one way of a "connection" is memory. Built
 * as shared object with another's build-id; what is sent is what is received.
 */
#include <string.h>

struct ssl_st {
	char kept[4096];
	int size;
};

typedef struct ssl_st SSL;

SSL *SSL_new(void *context);
int SSL_write(SSL *ssl, const void *buffer, int size);
int SSL_read(SSL *ssl, void *buffer, int size);
void SSL_free(SSL *ssl);

static SSL only;

SSL *SSL_new(void *context)
{
	(void)context;
	return &only;
}

__attribute__((noinline)) int SSL_write(SSL *ssl, const void *buffer, int size)
{
	if (size > (int)sizeof(ssl->kept))
		size = sizeof(ssl->kept);
	memcpy(ssl->kept, buffer, size);
	ssl->size = size;
	return size;
}

__attribute__((noinline)) int SSL_read(SSL *ssl, void *buffer, int size)
{
	if (size > ssl->size)
		size = ssl->size;
	memcpy(buffer, ssl->kept, size);
	ssl->size = 0;
	return size;
}

__attribute__((noinline)) void SSL_free(SSL *ssl)
{
	memset(ssl, 0, sizeof(*ssl));
}
