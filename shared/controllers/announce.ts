// Kubernetes Events: each reports something that has happened, never something that is planned.

import { createHash } from 'node:crypto'
import type { KubeObject } from '#shared/api/kinds.ts'
import { clip } from '#shared/domain/conditions.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { ConflictError } from '#shared/kernel/errors.ts'
import type { StepDeps } from './deps.ts'

/** Kubernetes rejects a name that ends in `.` or `-`, and cutting a name can leave one of these at the end. */
function shortened(name: string): string {
  return name.slice(0, 200).replace(/[.-]+$/, '')
}

export type EventWords = readonly [type: 'Normal' | 'Warning', reason: string, message: string]

/**
 * Creates one Event per object, reason and message. The Event's name is a hash of these, so a second run does not repeat it. Errors are
 * only logged, because the status contains the same information.
 */
export async function announce(
  deps: StepDeps,
  object: KubeObject,
  ...[type, reason, message]: EventWords
): Promise<void> {
  const namespace = object.metadata.namespace ?? deps.settings.veleroNamespace
  const digest = createHash('sha256').update(`${object.metadata.uid}/${reason}/${message}`).digest('hex').slice(0, 16)
  const time = rfc3339(deps.clock.nowMs())
  try {
    await deps.cluster.create('Event', {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${shortened(object.metadata.name)}.${digest}`, namespace },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        namespace,
        name: object.metadata.name,
        uid: object.metadata.uid,
      },
      type,
      reason,
      message: clip(message),
      source: { component: 'dormouse' },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) deps.log.warn({ err: error, reason }, 'could not write an Event')
  }
}
