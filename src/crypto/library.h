/*
 * The start of libcrypto. Every function of this folder starts it by itself; main calls
 * crypto_start first of all, so that the choices below are made before another library that uses
 * OpenSSL (libpq, libcurl) makes its own.
 */
#ifndef CRYPTO_LIBRARY_H
#define CRYPTO_LIBRARY_H

/*
 * Starts libcrypto: without an atexit handler (threads may still be at work when the process ends)
 * and without reading openssl.cnf (a file of the machine does not decide which algorithms we use;
 * only the default provider is loaded). Any thread, any number of times. Aborts when libcrypto
 * cannot start.
 */
void crypto_start(void);

#endif
