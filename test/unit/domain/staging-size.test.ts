// The size of the disk that a restore requests, and the size that its final claim asks for.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatQuantity, parseQuantity } from '#shared/domain/quantity.ts'
import { asksForBytes, restoredClaim, stagingClaim } from '#shared/domain/staging.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'

const size = suite('the size of a restored volume')

const PLACE = { storageClass: 'fast', selectedNode: undefined, namespace: 'app' }
const CLONE: LooseObject = {
  apiVersion: '',
  kind: 'CloneFromSnapshot',
  metadata: { name: 'c', namespace: 'new', uid: 'u' },
}
const aClaim = (storage: string | undefined, more: object = {}, limits?: object): LooseObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data' },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: storage === undefined ? {} : { storage }, ...(limits === undefined ? {} : { limits }) },
    storageClassName: 'fast',
  },
  ...more,
})
const askedBy = (claim: LooseObject): string => claim['spec'].resources.requests.storage
const restored = (storage: string, capacity: string, limits?: object): string => {
  const volume: LooseObject = {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv' },
    spec: { capacity: { storage: capacity } },
  }
  return askedBy(restoredClaim(CLONE, aClaim(storage, {}, limits), volume))
}

size('a claim that asks for less is made to ask for more, and never for less', () => {
  assert.is(askedBy(asksForBytes(aClaim('16Mi'), 32 * MiB)), '32Mi')
  assert.is(askedBy(asksForBytes(aClaim('1Gi'), 32 * MiB)), '1Gi')
  assert.is(askedBy(asksForBytes(aClaim('16Mi'), 16 * MiB)), '16Mi')
  assert.is(askedBy(asksForBytes(aClaim('16.5Mi'), 32 * MiB + 512)), String(32 * MiB + 512))
})

size('the claim that a restore makes asks for the size of its disk, which a quota counts', () => {
  assert.is(restored('16Mi', '32Mi'), '32Mi')
  assert.is(restored('1Ki', '10Gi'), '10Gi')
  assert.is(restored('16Mi', '16Mi'), '16Mi')
})

size('a disk that was only rounded up to whole MiB leaves the claim as its owner wrote it', () => {
  assert.is(restored('16.5Mi', '17Mi'), '16.5Mi')
  assert.is(restored('17000000', '17Mi'), '17000000')
  assert.is(restored('1G', '954Mi'), '1G')
  assert.is(restored('16.5Mi', '18Mi'), '18Mi')
})

size(
  "the capacity in the claim's status and its limits do not count: a user who may write the claim could choose them",
  () => {
    const claim = aClaim('16Mi', { status: { capacity: { storage: '10Ti' } } }, { storage: '8Mi' })
    assert.is(askedBy(stagingClaim(CLONE, claim, PLACE)), '16Mi')
    assert.is(restored('16Mi', '16Mi', { storage: '8Mi' }), '16Mi')
  },
)

size('a claim that asks for nothing is refused by name', async () => {
  const asked = Promise.resolve().then(() => stagingClaim(CLONE, aClaim(undefined), PLACE))
  assert.is(await reasonOf(asked), 'MetadataInvalid')
})

size('a staging claim asks for the one mode that makes a disk', () => {
  const claim = aClaim('16Mi')
  claim['spec'].accessModes = ['ReadOnlyMany', 'ReadWriteOnce']
  const staging = stagingClaim(CLONE, claim, PLACE)
  assert.equal(staging['spec'].accessModes, ['ReadWriteOnce'])
})

size('a size is written as it is read', () => {
  for (const bytes of [1, 512, 1024, 640 * 1024, MiB, 1536 * MiB, 32 * MiB + 512, 2 ** 40])
    assert.is(parseQuantity(formatQuantity(bytes)), bytes)
  assert.equal([2 ** 30, 1536 * MiB, 640 * 1024, 513].map(formatQuantity), ['1Gi', '1536Mi', '640Ki', '513'])
})

size.run()
