// A forward proxy like those of companies, for CONNECT and for plain requests. It resolves names that have no other resolver (`*.test`).

import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'

export type ForwardProxy = {
  port: number
  /** Requests that it received: `CONNECT host:port`, `GET http://…`; with the credentials that they carried. */
  asked: { what: string; credentials: string | undefined }[]
  /** The answer to CONNECT instead of a tunnel; `silence`: none. */
  refuse: string | undefined
  stop(): void
}

/** `tlsOptions`: the connection to the proxy itself uses TLS. */
export async function startForwardProxy(tlsOptions?: { cert: string; key: string }): Promise<ForwardProxy> {
  const server = tlsOptions === undefined ? http.createServer() : https.createServer(tlsOptions)
  const sockets = new Set<net.Socket>()
  const proxy: ForwardProxy = {
    port: 0,
    asked: [],
    refuse: undefined,
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  const note = (request: http.IncomingMessage) =>
    proxy.asked.push({ what: `${request.method} ${request.url}`, credentials: request.headers['proxy-authorization'] })
  server.on('connection', (socket: net.Socket) => sockets.add(socket))
  server.on('connect', (request: http.IncomingMessage, client: Duplex) => {
    note(request)
    client.on('error', () => {})
    if (proxy.refuse === 'silence') return
    if (proxy.refuse !== undefined) return void client.end(proxy.refuse)
    tunnel(client, Number(request.url?.split(':').at(-1)), sockets)
  })
  server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
    note(request)
    passOn(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.port = (server.address() as AddressInfo).port
  return proxy
}

function tunnel(client: Duplex, port: number, sockets: Set<net.Socket>): void {
  const target = net.connect(port, '127.0.0.1', () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    client.pipe(target).pipe(client)
  })
  sockets.add(target)
  target.on('error', () => client.destroy())
  client.on('close', () => target.destroy())
}

function passOn(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { port, pathname, search } = new URL(request.url ?? '')
  const { 'proxy-authorization': _, ...headers } = request.headers
  const options = { host: '127.0.0.1', port, method: request.method, path: `${pathname}${search}`, headers }
  const outgoing = http.request(options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  outgoing.on('error', () => response.writeHead(502).end())
  request.pipe(outgoing)
}
