// The flags that a plugin uses. Velero passes all flags of `velero server`, of any version: the plugin ignores the others.

import type { Level } from './log-line.ts'

/** The level names of logrus, as Velero uses them. */
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

/** The lowest level that is written: `--log-level=debug` or `--log-level debug`, the last one counts; otherwise info, as in Velero. */
export function leastLevel(args: readonly string[]): Level {
  return LEVEL_OF[lastFlag(args, '--log-level')?.toLowerCase() ?? 'info'] ?? 'info'
}

/** The value of a flag under any of its names, as `--flag=value` or `--flag value`; the last one counts. undefined: the flag is missing. */
export function lastFlag(args: readonly string[], ...names: string[]): string | undefined {
  const values = args.flatMap((arg, index) => {
    const [name = '', ...rest] = arg.split('=')
    if (!names.includes(name)) return []
    return [rest.length > 0 ? rest.join('=') : (args[index + 1] ?? '')]
  })
  return values.at(-1)
}
