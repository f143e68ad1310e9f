// Where the host listens: a unix socket in the first usable folder, else a port of 127.0.0.1. A pod with a read-only root has no writable
// /tmp, but it has Velero's scratch volume.

import { randomBytes } from 'node:crypto'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import type { Address } from './handshake.ts'

type Env = Readonly<Record<string, string | undefined>>

/** The longest path in the address of a unix socket (Linux, unix(7)), without its final zero. A longer one would be cut silently. */
const SOCKET_PATH_BYTES = 107
/** Velero always sets the range; these are its values. */
const MIN_PORT = 10_000
const MAX_PORT = 25_000

/** Best first. If the client names a folder, it is the only one: the client may be unable to see another. */
export function socketFolders(env: Env): string[] {
  const named = env['PLUGIN_UNIX_SOCKET_DIR']
  if (named) return [named]
  return [env['TMPDIR'] || '/tmp', '/tmp', env['VELERO_SCRATCH_DIR'] || '/scratch']
}

export function portRange(env: Env): [first: number, last: number] {
  return [portOf(env['PLUGIN_MIN_PORT']) ?? MIN_PORT, portOf(env['PLUGIN_MAX_PORT']) ?? MAX_PORT]
}

function portOf(text: string | undefined): number | undefined {
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
}

/** Resolves when clients can connect. The socket is removed when the process exits. */
export async function listen(server: Server, env: Env): Promise<Address> {
  const refusals: string[] = []
  for (const folder of new Set(socketFolders(env))) {
    const path = join(folder, `plugin${randomBytes(6).toString('hex')}`)
    const refusal = unfit(path) ?? (await bind(server, `unix:${path}`))
    if (refusal === undefined) return ownSocket(path)
    refusals.push(`${folder}: ${refusal}`)
  }
  const [first, last] = portRange(env)
  for (let port = first; port <= last; port++) {
    const address = `127.0.0.1:${port}`
    if ((await bind(server, address)) === undefined) return { network: 'tcp', address }
  }
  throw new Error(`no place to listen: ${refusals.join('; ')}; no free port from ${first} to ${last}`)
}

function unfit(path: string): string | undefined {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) return `longer than ${SOCKET_PATH_BYTES} bytes`
  return /[|\n]/.test(path) ? 'the handshake cannot carry it' : undefined
}

/** The error message, or undefined. */
function bind(server: Server, address: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  server.bindAsync(address, ServerCredentials.createInsecure(), (error) => resolve(error?.message))
  return promise
}

/** Velero runs as the same user, and no other user needs access: a client that can connect can have items changed. */
function ownSocket(path: string): Address {
  process.on('exit', () => rmSync(path, { force: true }))
  chmodSync(path, 0o600)
  return { network: 'unix', address: path }
}
