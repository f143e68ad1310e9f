// `status.metadata` of a Snapshot: the claim as the raw protobuf message core/v1 PersistentVolumeClaim (no envelope).
// Field numbers: k8s.io/api/core/v1/generated.proto and k8s.io/apimachinery meta/v1/generated.proto, 1.34.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { PersistentVolumeClaim } from '#shared/api/types.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { decodeMessage, encodeMessage, type MessageType, type MessageValue } from './protobuf.ts'

const TIME: MessageType = {
  1: { name: 'seconds', type: 'int64' },
  2: { name: 'nanos', type: 'int64', keepEmpty: true },
}
const QUANTITY: MessageType = { 1: { name: 'string', type: 'string' } }
const FIELDS_V1: MessageType = { 1: { name: 'raw', type: 'string' } }
const MANAGED_FIELDS: MessageType = {
  1: { name: 'manager', type: 'string' },
  2: { name: 'operation', type: 'string' },
  3: { name: 'apiVersion', type: 'string' },
  4: { name: 'time', type: { message: TIME } },
  6: { name: 'fieldsType', type: 'string' },
  7: { name: 'fieldsV1', type: { message: FIELDS_V1 } },
  8: { name: 'subresource', type: 'string' },
}
const OWNER_REFERENCE: MessageType = {
  1: { name: 'kind', type: 'string' },
  3: { name: 'name', type: 'string' },
  4: { name: 'uid', type: 'string' },
  5: { name: 'apiVersion', type: 'string' },
  6: { name: 'controller', type: 'bool' },
  7: { name: 'blockOwnerDeletion', type: 'bool' },
}
const OBJECT_META: MessageType = {
  1: { name: 'name', type: 'string' },
  2: { name: 'generateName', type: 'string', keepEmpty: true },
  3: { name: 'namespace', type: 'string' },
  4: { name: 'selfLink', type: 'string', keepEmpty: true },
  5: { name: 'uid', type: 'string' },
  6: { name: 'resourceVersion', type: 'string' },
  7: { name: 'generation', type: 'int64', keepEmpty: true },
  8: { name: 'creationTimestamp', type: { message: TIME }, keepEmpty: true },
  9: { name: 'deletionTimestamp', type: { message: TIME } },
  10: { name: 'deletionGracePeriodSeconds', type: 'int64' },
  11: { name: 'labels', type: { map: 'string' } },
  12: { name: 'annotations', type: { map: 'string' } },
  13: { name: 'ownerReferences', type: { message: OWNER_REFERENCE }, repeated: true },
  14: { name: 'finalizers', type: 'string', repeated: true },
  17: { name: 'managedFields', type: { message: MANAGED_FIELDS }, repeated: true },
}
const REQUIREMENT: MessageType = {
  1: { name: 'key', type: 'string' },
  2: { name: 'operator', type: 'string' },
  3: { name: 'values', type: 'string', repeated: true },
}
const LABEL_SELECTOR: MessageType = {
  1: { name: 'matchLabels', type: { map: 'string' } },
  2: { name: 'matchExpressions', type: { message: REQUIREMENT }, repeated: true },
}
const RESOURCES: MessageType = {
  1: { name: 'limits', type: { map: { message: QUANTITY } } },
  2: { name: 'requests', type: { map: { message: QUANTITY } } },
}
const DATA_SOURCE: MessageType = {
  1: { name: 'apiGroup', type: 'string' },
  2: { name: 'kind', type: 'string' },
  3: { name: 'name', type: 'string' },
  4: { name: 'namespace', type: 'string' },
}
const CLAIM_SPEC: MessageType = {
  1: { name: 'accessModes', type: 'string', repeated: true },
  2: { name: 'resources', type: { message: RESOURCES }, keepEmpty: true },
  3: { name: 'volumeName', type: 'string', keepEmpty: true },
  4: { name: 'selector', type: { message: LABEL_SELECTOR } },
  5: { name: 'storageClassName', type: 'string' },
  6: { name: 'volumeMode', type: 'string' },
  7: { name: 'dataSource', type: { message: DATA_SOURCE } },
  8: { name: 'dataSourceRef', type: { message: DATA_SOURCE } },
  9: { name: 'volumeAttributesClassName', type: 'string' },
}
const CLAIM_STATUS: MessageType = {
  1: { name: 'phase', type: 'string' },
  2: { name: 'accessModes', type: 'string', repeated: true },
  3: { name: 'capacity', type: { map: { message: QUANTITY } } },
}
const CLAIM: MessageType = {
  1: { name: 'metadata', type: { message: OBJECT_META } },
  2: { name: 'spec', type: { message: CLAIM_SPEC } },
  3: { name: 'status', type: { message: CLAIM_STATUS }, keepEmpty: true },
}

/** Real claims are a few KiB; etcd accepts 1.5 MiB for the whole object that contains the blob. */
const MAX_METADATA_BYTES = 512 * 1024

/** The claim as the base64 text of `status.metadata`. */
export function encodeClaimMetadata(claim: PersistentVolumeClaim): string {
  const bytes = encodeMessage(CLAIM, toWire(claim))
  if (bytes.length > MAX_METADATA_BYTES) {
    const name = `${claim.metadata.namespace}/${claim.metadata.name}`
    throw new TerminalError(
      'MetadataTooLarge',
      `claim ${name} is ${bytes.length} bytes, more than ${MAX_METADATA_BYTES}: shorten its annotations`,
    )
  }
  return Buffer.from(bytes).toString('base64')
}

/** The claim in a `metadata` blob, as the API would show it. Throws TerminalError `MetadataInvalid` if the blob is invalid. */
export function decodeClaimMetadata(base64 = ''): PersistentVolumeClaim {
  if (base64.length > MAX_METADATA_BYTES * 2)
    throw new TerminalError('MetadataInvalid', `the stored metadata is longer than ${MAX_METADATA_BYTES} bytes`)
  const claim = fromWire(decodeMessage(CLAIM, Buffer.from(base64, 'base64')))
  if (typeof claim.metadata.name !== 'string' || claim.metadata.name === '') {
    throw new TerminalError('MetadataInvalid', 'the stored metadata names no claim')
  }
  return claim
}

function toWire(claim: PersistentVolumeClaim): MessageValue {
  const metadata = claim.metadata as unknown as Record<string, unknown>
  const managed = (metadata['managedFields'] as Record<string, unknown>[] | undefined)?.map((entry) => ({
    ...entry,
    time: timeToWire(entry['time']),
    fieldsV1: entry['fieldsV1'] === undefined ? undefined : { raw: JSON.stringify(entry['fieldsV1']) },
  }))
  return {
    metadata: {
      ...metadata,
      creationTimestamp: timeToWire(metadata['creationTimestamp']),
      deletionTimestamp: timeToWire(metadata['deletionTimestamp']),
      managedFields: managed,
    },
    spec: mapQuantities(claim.spec, (text) => ({ string: text })),
    status: mapQuantities(claim.status ?? {}, (text) => ({ string: text })),
  }
}

function fromWire(value: MessageValue): PersistentVolumeClaim {
  const metadata = { ...(value['metadata'] as Record<string, unknown> | undefined) }
  for (const key of ['creationTimestamp', 'deletionTimestamp']) {
    const text = timeFromWire(metadata[key])
    if (text === undefined) delete metadata[key]
    else metadata[key] = text
  }
  for (const key of ['generateName', 'selfLink', 'generation'])
    if (metadata[key] === '' || metadata[key] === 0) delete metadata[key]
  if (metadata['managedFields'] !== undefined) {
    metadata['managedFields'] = (metadata['managedFields'] as Record<string, unknown>[]).map((entry) => ({
      ...entry,
      time: timeFromWire(entry['time']),
      fieldsV1: JSON.parse((entry['fieldsV1'] as { raw?: string } | undefined)?.raw ?? '{}'),
    }))
  }
  const spec = mapQuantities(value['spec'] ?? {}, quantityText)
  if (spec['volumeName'] === '') delete spec['volumeName']
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: metadata as KubeObject['metadata'],
    spec,
    status: mapQuantities(value['status'] ?? {}, quantityText),
  }
}

type Spec = Record<string, unknown>

/** Rewrites every quantity of `resources.limits`, `resources.requests` and `capacity`. */
function mapQuantities<From, To>(given: unknown, change: (quantity: From) => To): Spec {
  const spec = { ...(given as Spec) }
  const changeAll = (map: unknown) =>
    Object.fromEntries(
      Object.entries((map ?? {}) as Record<string, From>).map(([key, quantity]) => [key, change(quantity)]),
    )
  if (spec['resources'] !== undefined) {
    const resources = spec['resources'] as Spec
    spec['resources'] = Object.fromEntries(Object.entries(resources).map(([key, map]) => [key, changeAll(map)]))
  }
  if (spec['capacity'] !== undefined) spec['capacity'] = changeAll(spec['capacity'])
  return spec
}

function quantityText(quantity: unknown): string {
  return String((quantity as { string?: string } | undefined)?.string ?? '0')
}

function timeToWire(text: unknown): MessageValue | undefined {
  if (typeof text !== 'string') return undefined
  return { seconds: Math.floor(Date.parse(text) / 1000), nanos: 0 }
}

function timeFromWire(time: unknown): string | undefined {
  const seconds = (time as { seconds?: number } | undefined)?.seconds
  return seconds === undefined ? undefined : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`
}
