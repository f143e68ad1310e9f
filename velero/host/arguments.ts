// What the host takes from its command line. Velero hands over all flags of `velero server`, of any version: others are none of its business.

import type { Level } from './log-line.ts'

const FLAG = '--log-level'

/** logrus' words, as Velero uses them. */
const LEVEL_OF: Record<string, Level> = {
  panic: 'error',
  fatal: 'error',
  error: 'error',
  warn: 'warn',
  warning: 'warn',
  info: 'info',
  debug: 'debug',
  trace: 'trace',
}

/** The least level that is written: `--log-level=debug` or `--log-level debug`, the last one counts; else info, as Velero does. */
export function leastLevel(args: readonly string[]): Level {
  const words = args.flatMap((arg, index) => {
    if (arg.startsWith(`${FLAG}=`)) return [arg.slice(FLAG.length + 1)]
    return arg === FLAG ? [args[index + 1] ?? ''] : []
  })
  return LEVEL_OF[words.at(-1)?.toLowerCase() ?? 'info'] ?? 'info'
}
