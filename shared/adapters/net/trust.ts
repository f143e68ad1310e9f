// How a TLS connection checks whom it speaks to: one way for the store, vCenter, the API server and the proxies before them.

import { isIP } from 'node:net'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import { checkIdentity } from './identity.ts'

export type Trust = {
  secureContext: SecureContext
  /** false: only on the user's explicit word. */
  verify: boolean
}

export function tlsOptions(host: string, { secureContext, verify }: Trust): ConnectionOptions {
  return {
    secureContext,
    rejectUnauthorized: verify,
    checkServerIdentity: (_, certificate) => checkIdentity(host, certificate),
    // A name that is an address is not allowed in SNI, nor is a dot at its end (RFC 6066).
    ...(isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {}),
  }
}

/** OpenSSL's verification codes as Node names them (node: tls, "X509 certificate error codes") and the check of the name. */
const DISTRUST =
  /^(UNABLE_TO_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_|ERROR_IN_C|HOSTNAME_MISMATCH|ERR_TLS_CERT_|UNSPECIFIED$)/

/** `UNSPECIFIED`: of a certificate, too: a key that is too short, a name that its authority may not vouch for. */
export function isDistrust(error: Error): boolean {
  return 'code' in error && DISTRUST.test(String(error.code))
}
