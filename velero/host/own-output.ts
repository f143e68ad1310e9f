// Reserves stdout for the handshake and stderr for log lines, whatever a library prints: with one stray line before the handshake Velero
// does not start, and a line on stderr that is not JSON is lost at debug level.

import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { readableError } from './error-words.ts'
import type { HostLog } from './log.ts'
import type { Level } from './log-line.ts'
import { callerOf, placeOf } from './stack.ts'

/** Must run before other code has touched `process.stdout` or `console`: those keep their streams. */
export function ownOutput(log: HostLog): void {
  const stdout = lines(log, 'info', 'stdout')
  const stderr = lines(log, 'warn', 'stderr')
  Object.defineProperty(process, 'stdout', { value: stdout })
  Object.defineProperty(process, 'stderr', { value: stderr })
  globalThis.console = new Console({ stdout, stderr })
  // Node's own listener would print directly to stderr.
  process.removeAllListeners('warning')
  process.on('warning', (warning) => log.say('warn', warning.message, { warning: warning.name }, placeOf(warning)))
}

function lines(log: HostLog, level: Level, stream: string): Writable {
  const write = (chunk: string | Uint8Array, _encoding: string, done: () => void) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
    log.say(level, text.trimEnd(), { printedTo: stream }, callerOf(write))
    done()
  }
  return new Writable({ decodeStrings: false, write })
}

/** A bug outside of every call. The state is unknown, so the process ends; Velero starts another for its next call. */
export function logLastWords(log: HostLog): void {
  process.on('uncaughtException', (error) => {
    log.say(
      'error',
      'the plugin ends: an error was thrown that nobody caught',
      { error },
      placeOf(readableError(error)),
    )
    process.exit(1)
  })
}
