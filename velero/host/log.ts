// Log lines to stderr, where go-plugin reads them. They are written synchronously and in order: a line is out even if the process
// dies right after it.

import { writeSync } from 'node:fs'
import { systemClock } from '#shared/kernel/clock.ts'
import type { ActionLog } from '../actions.ts'
import { LEVELS, type Level, logLine } from './log-line.ts'
import { callerOf } from './stack.ts'

export type HostLog = {
  /** `source`: `file:line`; without it, the place of the call. */
  say: (level: Level, message: unknown, fields?: Record<string, unknown>, source?: string) => void
  /** For an action: its lines carry the plugin's name and the place of the call. */
  forPlugin: (plugin: string) => ActionLog
}

export function createLog(least: Level, write: (line: string) => void = writeToStderr): HostLog {
  const say: HostLog['say'] = (level, message, fields = {}, source = undefined) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return
    const said = { level, message, fields, source: source ?? callerOf(say), nowMs: systemClock.nowMs() }
    write(`${logLine(said)}\n`)
  }
  return { say, forPlugin: (plugin) => actionLog(say, plugin) }
}

function actionLog(say: HostLog['say'], plugin: string): ActionLog {
  const log: ActionLog = {
    info: (message, fields) => say('info', message, { ...fields, plugin }, callerOf(log.info)),
    warn: (message, fields) => say('warn', message, { ...fields, plugin }, callerOf(log.warn)),
  }
  return log
}

const STDERR = 2
const FULL_PIPE_WAIT_MS = 5

/** If another process has made the pipe non-blocking, it accepts only a part; the rest waits until Velero has read. */
function writeToStderr(line: string): void {
  let rest = Buffer.from(line)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(STDERR, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return // no reader: Velero is gone, and Shutdown will not come
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_WAIT_MS)
    }
  }
}
