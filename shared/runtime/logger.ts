// One line of JSON per fact, to stdout. Keys: kind namespace name phase step bytes durationMs reason.

import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'child'>

/** Hidden at the top of a line and inside of its objects, three deep. */
const SECRET_KEYS = ['password', 'secret', 'token', 'authorization', 'secretAccessKey', 'sessionToken']
const REDACTED_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`])

/** Writes synchronously: a line that was logged is out, even if the process dies right after it. */
export function createLogger(name: string, options: { level?: string; destination?: DestinationStream } = {}): Logger {
  const settings = {
    base: { function: name },
    level: options.level ?? 'info',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: REDACTED_PATHS, censor: '**redacted**' },
  }
  return pino(settings, options.destination ?? pino.destination({ dest: 1, sync: true }))
}
