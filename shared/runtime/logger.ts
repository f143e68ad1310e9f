// One line of JSON per event, to stdout. Keys: kind namespace name phase step bytes durationMs reason.

import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'> & { child: (fields: Fields) => Logger }

type Fields = Record<string, unknown>

/** Writes synchronously: a logged line is out, even if the process dies right after it. */
export function createLogger(name: string, options: { level?: string; destination?: DestinationStream } = {}): Logger {
  const settings = {
    base: { function: name },
    level: options.level ?? 'info',
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: errorFields },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: withoutSecrets,
    },
  }
  return guarded(pino(settings, options.destination ?? pino.destination({ dest: 1, sync: true })))
}

/** Pino does not pass the fields of a child logger to a formatter. */
function guarded(log: PinoLogger): Logger {
  return {
    debug: log.debug.bind(log),
    info: log.info.bind(log),
    warn: log.warn.bind(log),
    error: log.error.bind(log),
    child: (fields) => guarded(log.child(withoutSecrets(fields))),
  }
}

const SECRET_NAME = /passw|passphrase|secret|token|authorization|credential|customer_?key/i

/** By a field's name, at any depth. Pino's own redaction needs paths that are known in advance. */
function withoutSecrets(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, SECRET_NAME.test(name) ? '**redacted**' : cleaned(value)]),
  )
}

function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleaned)
  return isPlain(value) ? withoutSecrets(value) : value
}

function isPlain(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

/** Without the properties that libraries attach to their errors, such as requests with their headers. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const { name, message, stack, cause } = error
  return { type: name, message, stack, ...(cause === undefined ? {} : { cause: errorFields(cause) }) }
}
