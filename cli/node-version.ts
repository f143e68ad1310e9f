// Which Node runs the command line: an older one fails in the middle of a connection, by a word that leads elsewhere.

import { TerminalError } from '#shared/kernel/errors.ts'

/** The one that the functions run on, and that the tests use. */
const LEAST_MAJOR = 24

/** TerminalError `NodeTooOld`. `version`: as `process.versions.node` has it. */
export function requireNode(version: string): void {
  const major = Number.parseInt(version, 10)
  if (major >= LEAST_MAJOR) return
  throw new TerminalError(
    'NodeTooOld',
    `this is Node ${version}, and dormouse needs ${LEAST_MAJOR} or newer: in a checkout run it as node_modules/.bin/node build/bundles/dormouse.mjs`,
  )
}
