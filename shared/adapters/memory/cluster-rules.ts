// The API server's treatment of a written object: defaults, refusals, and changes of `generation`.

import { isDeepStrictEqual } from 'node:util'
import { KINDS, type KindName, type ObjectMeta } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

/** An object of any kind, as the store holds it. */
export type Stored = {
  // biome-ignore-start lint/suspicious/noExplicitAny: the store holds every kind, and its rules read fields of many
  apiVersion: any
  kind: any
  metadata: ObjectMeta
  spec?: any
  status?: any
  [field: string]: any
  // biome-ignore-end lint/suspicious/noExplicitAny: the rest knows its types
}

/** The value after serialization: without undefined fields and without shared references. */
export function overTheWire<T>(value: T): T {
  return value === undefined ? value : JSON.parse(JSON.stringify(value))
}

/** JSON merge patch, RFC 7386: null removes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Custom resources count generations; of the built-in kinds used here only Deployment does. */
export function countsGenerations(kind: KindName): boolean {
  return KINDS[kind].apiVersion.includes('cnsdp.vmware.com') || kind === 'Deployment'
}

/** Everything except metadata, and except `status` if that is a subresource. */
export function generationMoves(kind: KindName, before: Stored, after: Stored): boolean {
  return countsGenerations(kind) && !isDeepStrictEqual(counted(kind, before), counted(kind, after))
}

function counted(kind: KindName, object: Stored): object {
  const { metadata, status, ...rest } = object
  return KINDS[kind].statusSubresource ? rest : { ...rest, status }
}

/** Removes empty maps and lists of the metadata. */
export function tidyMetadata(metadata: ObjectMeta): ObjectMeta {
  const filled = Object.entries(metadata).filter(
    ([, value]) => typeof value !== 'object' || Object.keys(value).length > 0,
  )
  return Object.fromEntries(filled) as ObjectMeta
}

/** The `status` after a create. A kubelet registers its Node together with its status; others start empty. */
export function statusAtCreation(kind: KindName, status: unknown): unknown {
  if (!KINDS[kind].statusSubresource || kind === 'Node') return status
  return kind === 'PersistentVolumeClaim' || kind === 'PersistentVolume' ? { phase: 'Pending' } : undefined
}

export function checkNames(
  kind: KindName,
  { namespace, name }: { namespace?: string | undefined; name: string },
): void {
  const misplaced = KINDS[kind].namespaced && !isNamespaceName(namespace)
  if (isObjectName(name) && !misplaced) return
  throw new TerminalError(
    'InvalidObject',
    `${kind} ${JSON.stringify([namespace, name])}: no name that Kubernetes accepts`,
  )
}

const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/
const DATA_KEY = /^[-._a-zA-Z0-9]{1,253}$/

/** The refusals that Dormouse's code could run into; schemas of custom resources are not checked here. */
export function checkFields(kind: KindName, object: Stored): void {
  if (kind === 'Lease') checkLease(object)
  if (kind === 'Secret' || kind === 'ConfigMap') checkDataKeys(object)
}

/** Lease times are MicroTime: six digits after the point, no fewer, otherwise the object cannot even be decoded. */
function checkLease(lease: Stored): void {
  for (const field of ['acquireTime', 'renewTime']) {
    const time = lease.spec?.[field]
    if (time !== undefined && !MICRO_TIME.test(time)) refuse(lease, `spec.${field} ${time} has not six decimals`)
  }
  const seconds = lease.spec?.leaseDurationSeconds
  if (seconds !== undefined && !(Number.isInteger(seconds) && seconds > 0)) {
    refuse(lease, `spec.leaseDurationSeconds ${seconds} is not above 0`)
  }
}

function checkDataKeys(object: Stored): void {
  const bad = Object.keys(object['data'] ?? {}).find((key) => !DATA_KEY.test(key))
  if (bad !== undefined)
    refuse(object, `data key ${JSON.stringify(bad)} has other characters than letters, digits, . _ -`)
}

/** Secrets accept plain text in `stringData` and return base64 in `data`. */
export function foldStringData(kind: KindName, object: Stored): Stored {
  const { stringData, ...secret } = object
  if (kind !== 'Secret' || stringData === undefined) return object
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])
  return { ...secret, data: { ...secret['data'], ...Object.fromEntries(encoded) } } as Stored
}

export function refuse(object: Stored, why: string): never {
  throw new TerminalError(
    'InvalidObject',
    `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}: ${why}`,
  )
}
