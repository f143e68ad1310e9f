/* The stand-in's own TLS library: only there to be missing, or to be hijacked, when the loader is set up wrongly. */
#ifndef VDDK_STANDIN_TLS_H
#define VDDK_STANDIN_TLS_H

/* A version that no OpenSSL has. */
#define STANDIN_TLS_VERSION 0xd0a0face0ul

unsigned long OpenSSL_version_num(void);
int standin_tls_sees_itself(void);

#endif
