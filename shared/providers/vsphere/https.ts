// HTTPS to one vCenter: keep-alive connections, a certificate that is trusted for a stated reason, limits on time and size.

import { type Agent, request } from 'node:https'
import { isIPv6 } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { proxyTrust, readBundle, secureContextFor } from '#shared/adapters/net/anchors.ts'
import { OpeningAgent, openSecure } from '#shared/adapters/net/secure.ts'
import { isDistrust, type Trust } from '#shared/adapters/net/trust.ts'
import { VCENTER_CALL_MS } from '#shared/kernel/call-limits.ts'
import { asError, RetryableError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { proxyFor } from '#shared/kernel/proxy.ts'
import { MiB, SECOND_MS } from '#shared/kernel/units.ts'
import type { VCenter } from './config.ts'

export type HttpsLimits = { connectMs: number; callMs: number; answerBytes: number }

export const HTTPS_LIMITS: HttpsLimits = { connectMs: 15 * SECOND_MS, callMs: VCENTER_CALL_MS, answerBytes: 64 * MiB }

type HttpsAnswer = {
  status: number
  /** Values of Set-Cookie. */
  cookies: string[]
  /** SHA-1 of the certificate that was verified on this very connection, `AA:BB:…`. */
  thumbprintSha1: string
  thumbprintSha256: string
}

/** Errors: RetryableError with VCenterUnreachable or VCenterCertificateUntrusted; an error that `onBytes` throws is passed on. */
export class HttpsConnection {
  readonly #vcenter: VCenter
  readonly #limits: HttpsLimits
  readonly #agent: Agent

  constructor(vcenter: VCenter, limits: HttpsLimits) {
    this.#vcenter = vcenter
    this.#limits = limits
    this.#agent = verifyingAgent(vcenter, limits.connectMs)
  }

  /** `repeatable`: may be sent twice. A kept connection that vCenter closed at the same moment is then replaced silently. */
  async post(
    path: string,
    headers: Record<string, string>,
    body: string,
    onBytes: (bytes: Uint8Array, status: number) => void,
    repeatable: boolean,
  ): Promise<HttpsAnswer> {
    let received = false
    const watched = (bytes: Uint8Array, status: number) => {
      received = true
      onBytes(bytes, status)
    }
    try {
      return await this.#postOnce(path, headers, body, watched)
    } catch (error) {
      if (!repeatable || received || !(error instanceof StaleConnection)) throw this.#translate(error)
    }
    return this.#postOnce(path, headers, body, onBytes).catch((error: unknown) => {
      throw this.#translate(error)
    })
  }

  close(): void {
    this.#agent.destroy()
  }

  #postOnce(
    path: string,
    headers: Record<string, string>,
    body: string,
    onBytes: (bytes: Uint8Array, status: number) => void,
  ): Promise<HttpsAnswer> {
    const { host, port } = this.#vcenter
    const { callMs, answerBytes } = this.#limits
    const bytes = Buffer.from(body, 'utf8')
    return new Promise((resolve, reject) => {
      const outgoing = request({
        host,
        port,
        path,
        method: 'POST',
        agent: this.#agent,
        headers: { ...headers, 'content-length': bytes.length },
      })
      const timer = setTimeout(
        () => outgoing.destroy(new Error(`no whole answer within ${callMs / SECOND_MS} s`)),
        callMs,
      )
      outgoing.on('close', () => clearTimeout(timer))
      outgoing.on('error', (error) =>
        reject(isStale(outgoing.reusedSocket, error) ? new StaleConnection(error) : error),
      )
      outgoing.on('response', (incoming) => {
        const status = incoming.statusCode ?? 0
        let count = 0
        incoming.on('error', reject)
        incoming.on('data', (chunk: Buffer) => {
          count += chunk.length
          try {
            if (count > answerBytes) throw this.#tooLong()
            onBytes(chunk, status)
          } catch (error) {
            incoming.destroy(asError(error))
          }
        })
        const { fingerprint, fingerprint256 } = (incoming.socket as TLSSocket).getPeerCertificate()
        const cookies = incoming.headers['set-cookie'] ?? []
        incoming.on('end', () =>
          resolve({ status, cookies, thumbprintSha1: fingerprint, thumbprintSha256: fingerprint256 }),
        )
      })
      outgoing.end(bytes)
    })
  }

  #tooLong(): RetryableError {
    const limit = `${this.#limits.answerBytes / MiB} MiB`
    return new RetryableError(
      'VCenterAnswerUnreadable',
      `vCenter ${this.#vcenter.host} answers with more than ${limit}`,
    )
  }

  #translate(thrown: unknown): Error {
    const error = thrown instanceof StaleConnection ? thrown.error : asError(thrown)
    if (error instanceof RetryableError) return error
    const { host, port, caPem } = this.#vcenter
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    if (error instanceof UntrustedPin || isDistrust(error)) {
      const [unread] = caPem === undefined ? [] : readBundle(caPem).unread
      const fix =
        unread === undefined
          ? 'give ca-data or thumbprint-sha256 in its section of the Secret, or renew the certificate'
          : `certificate ${unread} of its CA bundle (ca-data or ca-file) cannot be read, give it in PEM form`
      return new RetryableError(
        'VCenterCertificateUntrusted',
        `vCenter ${address} shows a certificate that is not trusted (${excerptOf(error.message, 300)}); ${fix}`,
        { cause: error },
      )
    }
    return new RetryableError('VCenterUnreachable', `vCenter ${address} cannot be reached: ${reasonOf(error)}`, {
      cause: error,
    })
  }
}

/**
 * Verifies the certificate before a byte of a request is sent. Every connection makes a full handshake, so each one sees the certificate.
 */
function verifyingAgent(vcenter: VCenter, connectMs: number): Agent {
  let trust: Trust | undefined
  const toProxy = proxyTrust(vcenter.caPem)
  return new OpeningAgent({ keepAlive: true, maxSockets: 8 }, async () => {
    const { host, port, pinnedSha256 } = vcenter
    trust ??= trustOf(vcenter)
    const proxy = proxyFor(new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`))
    const socket = await openSecure({ host, port, trust, proxy, proxyTrust: toProxy, connectMs })
    const seen = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase()
    if (pinnedSha256 === undefined || seen === pinnedSha256) return socket
    socket.destroy()
    throw new UntrustedPin(`its SHA-256 is ${seen}, pinned is ${pinnedSha256}`)
  })
}

/** If the user gives a CA, it is the only one trusted for vCenter, as in the CSI driver (govmomi's SetRootCAs). */
function trustOf({ insecure, pinnedSha256, caPem }: VCenter): Trust {
  const verify = pinnedSha256 === undefined && !insecure
  return { secureContext: secureContextFor({ caPem: verify ? caPem : '', only: true }), verify }
}

class UntrustedPin extends Error {}

class StaleConnection extends Error {
  readonly error: Error

  constructor(error: Error) {
    super(error.message)
    this.error = error
  }
}

/** A kept connection that the other side closed just when it was used again (Node's `request.reusedSocket`). */
function isStale(reused: boolean, error: Error): boolean {
  const code = 'code' in error ? error.code : undefined
  return reused && (code === 'ECONNRESET' || code === 'EPIPE')
}

/** The message of Node's AggregateError (one attempt for each address) is empty. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each) => asError(each).message).join('; ')
  return error.message
}
