// A socket to a host through a proxy that the environment names: CONNECT (RFC 9110, 9.3.6), over TLS if the proxy requires it.

import net from 'node:net'
import tls from 'node:tls'
import { asError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { proxyAuthorization, proxyName } from '#shared/kernel/proxy.ts'
import { KiB } from '#shared/kernel/units.ts'
import { type Trust, tlsOptions } from './trust.ts'

/** An answer to CONNECT consists only of a head. */
const MOST_ANSWER_BYTES = 16 * KiB

/** The proxy refuses the connection, or cannot be reached. Its answer is part of the message. */
export class ProxyError extends Error {
  readonly code = 'ERR_PROXY_TUNNEL'
}

/** Destroy the result to give up: `socket` exists from the beginning, `ready` resolves when bytes reach the host. */
export function openTunnel(proxy: URL, target: { host: string; port: number }, proxyTrust: () => Trust) {
  const socket = connectTo(proxy, proxyTrust)
  const ready = through(socket, proxy, target)
  ready.catch(() => socket.destroy())
  return { socket, ready }
}

/** The connection to the proxy itself. `proxyTrust`: the proxy's own, never the target's, which may be unverified (anchors.ts). */
export function connectTo(proxy: URL, proxyTrust: () => Trust): net.Socket {
  const secure = proxy.protocol === 'https:'
  const host = proxy.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = Number(proxy.port || (secure ? 443 : 80))
  const socket = secure
    ? tls.connect({ host, port, ...tlsOptions(host, proxyTrust()) })
    : net.connect({ host, port, noDelay: true })
  // The code that waits for the socket gets its error; without this listener a later error would end the process.
  return socket.on('error', () => {})
}

async function through(socket: net.Socket, proxy: URL, { host, port }: { host: string; port: number }): Promise<void> {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const credentials = proxyAuthorization(proxy)
  const authorization = credentials === undefined ? '' : `Proxy-Authorization: ${credentials}\r\n`
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`)
  const answer = await headOf(socket).catch((error: unknown) => {
    throw new ProxyError(`proxy ${proxyName(proxy)}: ${asError(error).message}`, { cause: error })
  })
  const [line = ''] = answer.split('\r\n', 1)
  if (/^HTTP\/1\.[01] 200\b/.test(line)) return
  throw new ProxyError(`proxy ${proxyName(proxy)} does not connect to ${authority}: ${excerptOf(line, 100)}`)
}

/** Reads no byte beyond the head: what follows belongs to the target. */
function headOf(socket: net.Socket): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let head = ''
  const read = () => {
    for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
      head += byte.toString('latin1')
      if (head.endsWith('\r\n\r\n')) return resolve(head)
      if (head.length > MOST_ANSWER_BYTES) return reject(new Error('its answer is too long'))
    }
  }
  const closed = () => reject(new Error('it closed the connection'))
  socket.on('readable', read).once('error', reject).once('close', closed)
  const letGo = () => socket.off('readable', read).off('error', reject).off('close', closed)
  promise.then(letGo, letGo)
  return promise
}
