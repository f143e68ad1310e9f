// A versitygw for one test file, and proxies in front of it that misbehave on purpose.

import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import type { S3Settings } from '#shared/repository/stores/s3/settings.ts'
import { settingsOf } from '#test/environment/storage/repository.ts'
import { Authority } from '../environment/kubernetes/certificates.ts'
import { Ports } from '../environment/process/ports.ts'
import { findLeash, findTools } from '../environment/process/tools.ts'
import { S3Server } from '../environment/storage/s3.ts'

export type Gateway = { s3: S3Server; authority: Authority; stop(): Promise<void> }

export async function startGateway(tls: boolean): Promise<Gateway> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'dormouse-s3-'))
  const programs = await findTools(['versitygw'], console.error)
  const ports = new Ports()
  const authority = new Authority()
  const s3 = await S3Server.start({
    folder,
    logFolder: folder,
    leash: await findLeash(),
    program: programs.get('versitygw')!,
    ports,
    authority,
    tls,
  })
  const stop = async () => {
    await s3.stop()
    ports.release()
    await rm(folder, { recursive: true, force: true })
  }
  return { s3, authority, stop }
}

export function settingsFor(s3: S3Server, change: Partial<S3Settings> = {}): S3Settings {
  return { ...settingsOf(s3, `test-${Math.random().toString(36).slice(2)}`), ...change }
}

/** What a proxy does with one request: pass it on, pass it on and drop the answer, hang up before that, or answer itself. */
export type Mischief =
  | 'pass'
  | 'loseAnswer'
  | 'hangUp'
  | { status: number; body?: string; headers?: Record<string, string> }

export type ProxyServer = {
  url: string
  requests: { method: string; path: string; headers: http.IncomingHttpHeaders; bytes: number }[]
  connections: () => number
  stop(): Promise<void>
}

/** An HTTP proxy that keeps the Host header, so that signatures stay valid. It calls `decide` once per request, in order. */
export async function startProxy(
  targetUrl: string | undefined,
  decide: (request: ProxyServer['requests'][number], index: number) => Mischief,
): Promise<ProxyServer> {
  const requests: ProxyServer['requests'] = []
  let connections = 0
  const agent = new http.Agent({ keepAlive: true })
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const seen = { method: request.method!, path: request.url!, headers: request.headers, bytes: body.length }
    requests.push(seen)
    const mischief = decide(seen, requests.length - 1)
    if (mischief === 'hangUp') return request.socket.destroy()
    if (typeof mischief === 'object') {
      response.writeHead(mischief.status, mischief.headers)
      return response.end(mischief.body)
    }
    const target = http.request(targetUrl!, { method: seen.method, path: seen.path, headers: seen.headers, agent })
    target.on('response', (answer) => {
      if (mischief === 'loseAnswer') {
        answer.resume()
        answer.on('end', () => request.socket.destroy())
        return
      }
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    target.on('error', () => request.socket.destroy())
    target.end(body)
  }
  const server = http.createServer((request, response) => void serve(request, response))
  server.on('connection', () => connections++)
  const port = await listen(server)
  const stop = async () => {
    agent.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${port}`, requests, connections: () => connections, stop }
}

/** A server that answers every connection with these bytes, and then closes it if `thenClose`. */
export async function startRawServer(
  answer: string,
  thenClose = true,
): Promise<{ url: string; stop(): Promise<void> }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(answer, 'latin1')
      if (thenClose) socket.end()
    })
  })
  const port = await listen(server)
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${port}`, stop }
}

/** The port on loopback on which it listens. */
export async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as net.AddressInfo).port
}
