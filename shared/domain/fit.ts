// What is written always fits the CRDs: a message that is too long would be refused for ever, and its object with it.

import { clip } from './conditions.ts'

/**
 * The change with its `status.message` cut. Asked by every adapter of the port Cluster, so that no writer can forget it; the messages of
 * conditions are cut by setCondition, those of Events by announce.
 */
export function fitted<Change extends object>(change: Change): Change {
  const { status } = change as { status?: { message?: unknown } | null }
  if (typeof status?.message !== 'string') return change
  return { ...change, status: { ...status, message: clip(status.message) } }
}
