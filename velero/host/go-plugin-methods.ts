// The services that go-plugin requires of every plugin, and the list of actions for Velero.

import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js'
import type { Registry } from './registry.ts'
import { type Method, unary } from './rpc.ts'

const SERVING = 1

export function listMethod(registry: Registry, command: string): Method {
  return unary('/generated.PluginLister/ListPlugins', 'generated.Empty', 'generated.ListPluginsResponse', async () => ({
    plugins: registry.actions.map(({ kind, name }) => ({ command, kind, name })),
  }))
}

/** go-plugin names its service `plugin`; the empty name is the whole server (grpc.health.v1). */
export function healthMethod(): Method {
  return unary(
    '/grpc.health.v1.Health/Check',
    'grpc.health.v1.HealthCheckRequest',
    'grpc.health.v1.HealthCheckResponse',
    async ({ service }) => {
      if (service === 'plugin' || service === '') return { status: SERVING }
      throw new Error(`there is no service "${service}"`)
    },
  )
}

/** The answer is sent first: Velero kills a plugin that does not answer. */
export function shutdownMethod(stop: () => void): Method {
  return unary('/plugin.GRPCController/Shutdown', 'plugin.Empty', 'plugin.Empty', async () => {
    setImmediate(stop)
    return {}
  })
}

export type IdleStreams = { methods: Method[]; end: () => void }

type IdleCall = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>

/**
 * go-plugin opens both streams at its start: one for output, which it reads from stdout and stderr of this plugin, and one for connections of
 * plugins to their host, which Velero does not use. Without them it logs a warning at each start.
 */
export function idleStreams(): IdleStreams {
  const open = new Set<IdleCall>()
  const idle = (call: IdleCall) => {
    open.add(call)
    const forget = () => open.delete(call)
    call.on('cancelled', forget)
    call.on('error', forget) // the client has disconnected
    call.on('end', () => call.end())
    if ('resume' in call) call.resume()
  }
  return {
    methods: [
      { path: '/plugin.GRPCStdio/StreamStdio', requestStream: false, responseStream: true, handle: idle },
      { path: '/plugin.GRPCBroker/StartStream', requestStream: true, responseStream: true, handle: idle },
    ],
    end: () => {
      for (const call of open) call.end()
    },
  }
}
