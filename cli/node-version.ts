// Checks the Node version of the command line: an older one fails in the middle of a connection, with a misleading message.

import { TerminalError } from '#shared/kernel/errors.ts'

/** The version that the functions and the tests run on. */
const LEAST_MAJOR = 24

/** TerminalError `NodeTooOld`. `version`: the form of `process.versions.node`. */
export function requireNode(version: string): void {
  const major = Number.parseInt(version, 10)
  if (major >= LEAST_MAJOR) return
  throw new TerminalError(
    'NodeTooOld',
    `this is Node ${version}, and dormouse needs ${LEAST_MAJOR} or newer: in a checkout run it as node_modules/.bin/node build/bundles/dormouse.mjs`,
  )
}
