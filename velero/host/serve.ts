// Runs this process as a plugin of Velero.

import { writeSync } from 'node:fs'
import { logVerbosity, type Server, setLogVerbosity } from '@grpc/grpc-js'
import type { ItemAction } from '../actions.ts'
import { leastLevel } from './arguments.ts'
import { idleStreams } from './go-plugin-methods.ts'
import { handshakeLine, NOT_BY_HAND, speaksOurVersion, startedByVelero } from './handshake.ts'
import { listen } from './listen.ts'
import { createLog, type HostLog } from './log.ts'
import { logLastWords, ownOutput } from './own-output.ts'
import { Registry } from './registry.ts'
import { createServer, drain } from './server.ts'

const STDOUT = 1
/** go-plugin kills the plugin 2 s after it has sent Shutdown. */
const DRAIN_MS = 1500
/** How soon the plugin ends by itself when its Velero was killed. */
const PARENT_LOOK_MS = 1000

/** `makeActions` runs once stdout and stderr are guarded: load code there that may print. */
export async function servePlugin(makeActions: () => readonly ItemAction[] | Promise<readonly ItemAction[]>) {
  if (!startedByVelero(process.env)) {
    process.stderr.write(`${NOT_BY_HAND}\n`)
    process.exit(1)
  }
  const log = createLog(leastLevel(process.argv.slice(2)))
  ownOutput(log)
  logLastWords(log)
  process.on('SIGINT', () => undefined) // Ctrl-C in Velero's terminal reaches this process too; Velero decides when it ends
  try {
    await start(new Registry(await makeActions()), log)
  } catch (error) {
    log.say('error', 'the plugin could not start', { error })
    process.exit(1)
  }
}

async function start(registry: Registry, log: HostLog): Promise<void> {
  const streams = idleStreams()
  const stop = () => void end(server, streams.end, log)
  // The path that Velero executes later. Not execPath: that is node, or the loader that started it.
  const command = process.argv[1] ?? process.execPath
  const server = createServer({ registry, log, command, streams, stop })
  if (!speaksOurVersion(process.env)) log.say('warn', 'this Velero speaks another version of the plugin protocol')
  process.on('SIGTERM', stop)
  onceOrphaned(stop)
  setLogVerbosity(logVerbosity.NONE) // a folder without room for a socket is not an error
  const address = await listen(server, process.env)
  setLogVerbosity(logVerbosity.ERROR)
  writeSync(STDOUT, handshakeLine(address))
  log.say('debug', `listens on ${address.network} ${address.address}`)
}

/** A killed Velero has not sent Shutdown. In a container the kernel ends this process too, elsewhere nothing does. */
function onceOrphaned(stop: () => void): void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    stop()
  }, PARENT_LOOK_MS)
}

async function end(server: Server, endStreams: () => void, log: HostLog): Promise<void> {
  endStreams()
  if (!(await drain(server, DRAIN_MS))) log.say('warn', `calls in hand were cut after ${DRAIN_MS} ms`)
  process.exit(0)
}
