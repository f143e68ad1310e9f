// A TLS connection to a host, direct or through the proxy that the environment names, and an agent for Node that opens such connections.

import { Agent, type AgentOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import { asError } from '#shared/kernel/errors.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'
import { type Trust, tlsOptions } from './trust.ts'
import { openTunnel } from './tunnel.ts'

type SecureTarget = {
  host: string
  port: number
  trust: Trust
  /** The name that the certificate must be valid for, if it is not the host. */
  servername?: string | undefined
  proxy: URL | undefined
  /** For the connection to the proxy itself (proxyTrust). */
  proxyTrust: () => Trust
  connectMs: number
}

/** Rejects with the connection's error; when it resolves, the certificate has been verified. */
export async function openSecure(target: SecureTarget): Promise<TLSSocket> {
  const { host, port, trust, servername = host, proxy, proxyTrust, connectMs } = target
  const tunnel = proxy === undefined ? undefined : openTunnel(proxy, { host, port }, proxyTrust)
  const late = Promise.withResolvers<never>()
  late.promise.catch(() => {})
  const timer = setTimeout(() => late.reject(new Error(`no connection within ${connectMs / SECOND_MS} s`)), connectMs)
  let socket: TLSSocket | undefined
  try {
    if (tunnel !== undefined) await Promise.race([tunnel.ready, late.promise])
    const way = tunnel === undefined ? { host, port } : { socket: tunnel.socket }
    socket = connect({ ...way, ...tlsOptions(servername, trust) })
    await Promise.race([isSecure(socket), late.promise])
    return socket
  } catch (error) {
    socket?.destroy()
    tunnel?.socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

function isSecure(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(Object.assign(new Error('closed while connecting'), { code: 'ECONNRESET' })))
    socket.once('secureConnect', () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** Opens every connection with `open`; each makes a full handshake. */
export class OpeningAgent extends Agent {
  readonly #open: () => Promise<TLSSocket>

  constructor(options: AgentOptions, open: () => Promise<TLSSocket>) {
    super(options)
    this.#open = open
  }

  override createConnection(_options: object, done: (error: Error | null, socket: Duplex) => void): undefined {
    this.#open().then(
      (socket) => done(null, socket),
      (error: unknown) => done(asError(error), undefined as unknown as Duplex),
    )
  }
}
