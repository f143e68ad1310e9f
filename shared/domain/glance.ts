// What the sweep keeps of an object: the fields that its decisions read, cut in length. Objects that users write may have a megabyte each.

import type { KindName, KubeObject } from '#shared/api/kinds.ts'
import type { Download, KindTypes, Lease } from '#shared/api/types.ts'
import { CANCEL_FIELDS } from './cancel.ts'
import { leaseTimes } from './lease.ts'
import { QUEUE_LABEL, SLOT_LABEL } from './slots.ts'
import { formatHandOver, HAND_OVER_ANNOTATION, handOverOf } from './staged-volume.ts'
import { STAGED_ANNOTATION } from './staging.ts'
import { DUE_ANNOTATION, FINALIZER, holdsFinalizer, STEP_LABEL } from './step-label.ts'
import { TASK_LABEL } from './task.ts'
import {
  BACKUP_ANNOTATION,
  BACKUP_UID_LABEL,
  OPERATION_ANNOTATION,
  RESTORE_ANNOTATION,
  RESTORE_UID_LABEL,
} from './velero.ts'
import { STOOD_ASIDE_ANNOTATION, WAITING_SINCE_ANNOTATION } from './waited-in-vain.ts'

/**
 * The longest text that is read is an id of a Snapshot. A text that is cut here names nothing, and the object is read in full before any
 * action.
 */
const MAX_CHARS = 1024
/** `<namespace>/<name>` with the longest possible names. */
const MAX_NAME_CHARS = 320

const META = ['name', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp']
const PART_OF = 'app.kubernetes.io/part-of'
const LABELS = [STEP_LABEL, BACKUP_UID_LABEL, RESTORE_UID_LABEL, PART_OF, SLOT_LABEL, QUEUE_LABEL, TASK_LABEL]
const ANNOTATIONS = [
  DUE_ANNOTATION,
  BACKUP_ANNOTATION,
  RESTORE_ANNOTATION,
  OPERATION_ANNOTATION,
  STAGED_ANNOTATION,
  WAITING_SINCE_ANNOTATION,
  STOOD_ASIDE_ANNOTATION,
]
const SPEC = [...CANCEL_FIELDS, 'snapshotReference', 'clonefromSnapshotReference', 'backupRepository']
const TIMES = ['nextRetryTimestamp', 'completionTimestamp']
const STATUS = ['phase', 'uploadName', 'downloadName', 'volumeName', 'root', 'session', 'givenUp', ...TIMES]

/** Enough for `decideWake`, `decideRecord`, `keepsSlot` and the check of the owner. Never enough to write from, except labels and flags. */
export function glance<Name extends KindName>(kind: Name, object: KindTypes[Name]): KindTypes[Name] {
  const { spec, status }: KubeObject = object
  return detached({
    apiVersion: object.apiVersion,
    kind,
    metadata: glanceAtMetadata(kind, object),
    spec: { ...picked(spec, SPEC, MAX_NAME_CHARS), ...(kind === 'Lease' ? leaseTimes(object as Lease) : {}) },
    status: {
      ...picked(status, STATUS, MAX_NAME_CHARS),
      ...picked(status, ['snapshotID'], MAX_CHARS),
      conditions: conditionsOf((status as { conditions?: unknown } | undefined)?.conditions),
    },
  })
}

function glanceAtMetadata(kind: KindName, object: KubeObject): object {
  const { metadata } = object
  return {
    ...picked(metadata, META, MAX_NAME_CHARS),
    labels: picked(metadata.labels, LABELS, MAX_NAME_CHARS),
    annotations: {
      ...picked(metadata.annotations, ANNOTATIONS, MAX_NAME_CHARS),
      ...(kind === 'Download' ? handOverIn(object as Download) : {}),
    },
    finalizers: holdsFinalizer(object) ? [FINALIZER] : undefined,
  }
}

/** The hand-over of a Download. The plan is left out because it is long, and a cut one could not be parsed. */
function handOverIn(object: Download): object {
  const begun = handOverOf(object)
  return begun === undefined ? {} : { [HAND_OVER_ANNOTATION]: formatHandOver({ target: begun.target }) }
}

function picked(from: unknown, fields: readonly string[], maxChars: number): object {
  if (typeof from !== 'object' || from === null) return {}
  const values: Record<string, unknown> = from as Record<string, unknown>
  return Object.fromEntries(fields.flatMap((field) => scalar(field, values[field], maxChars)))
}

function scalar(field: string, value: unknown, maxChars: number): [string, unknown][] {
  if (typeof value === 'string') return [[field, value.slice(0, maxChars)]]
  return typeof value === 'boolean' || typeof value === 'number' ? [[field, value]] : []
}

/** The condition that distinguishes a complete Download from one whose phase was written by hand. */
function conditionsOf(conditions: unknown): object[] | undefined {
  if (!Array.isArray(conditions)) return undefined
  const found: unknown = conditions.find((each) => each?.type === 'Downloaded')
  return found === undefined ? undefined : [picked(found, ['type', 'status'], MAX_NAME_CHARS)]
}

/** A substring keeps its whole source text in memory; a copy of the substring does not. */
function detached<T>(object: object): T {
  return JSON.parse(JSON.stringify(object))
}
