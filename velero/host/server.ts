// The gRPC server with all services of a plugin, and its shutdown.

import { Server } from '@grpc/grpc-js'
import { backupMethods } from './backup-methods.ts'
import { deleteMethods } from './delete-methods.ts'
import { healthMethod, type IdleStreams, listMethod, shutdownMethod } from './go-plugin-methods.ts'
import type { HostLog } from './log.ts'
import type { Registry } from './registry.ts'
import { restoreMethods } from './restore-methods.ts'
import { definitionOf, type Method } from './rpc.ts'
import { snapshotterMethods } from './snapshotter-methods.ts'

/**
 * No limit, as in Velero (gRPC does not limit what is sent): an item may be as large as etcd allows, and so may the JSON of a Backup.
 */
const OPTIONS = {
  'grpc.max_receive_message_length': -1,
  'grpc.enable_channelz': 0,
}

type Plan = { registry: Registry; log: HostLog; command: string; streams: IdleStreams; stop: () => void }

export function createServer({ registry, log, command, streams, stop }: Plan): Server {
  const methods: Method[] = [
    listMethod(registry, command),
    ...backupMethods(registry, log),
    ...restoreMethods(registry, log),
    ...deleteMethods(registry, log),
    ...snapshotterMethods(registry),
    healthMethod(),
    shutdownMethod(stop),
    ...streams.methods,
  ]
  const server = new Server(OPTIONS)
  server.addService(definitionOf(methods), Object.fromEntries(methods.map(({ path, handle }) => [path, handle])))
  return server
}

/** Accepts no more calls and waits for those that are running; false: they did not end in time. */
export async function drain(server: Server, limitMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), limitMs)
  server.tryShutdown(() => resolve(true))
  return await promise.finally(() => clearTimeout(timer))
}
