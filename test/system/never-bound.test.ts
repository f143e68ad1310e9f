// A storage class that never provides its disk: the restore ends with a reason, and nothing of it is left.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { claimRepository, typeOf } from '#test/environment/main-job.ts'

const neverBound = suite('a disk that never comes')
let environment: Environment

neverBound.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_BIND_TIMEOUT_SECONDS: '5' },
    pingEveryMs: { 'dormouse-sweep': 2000 },
  })
})
neverBound.after(async () => {
  await environment.stop()
})

neverBound('the restore fails by name, and leaves no claim and no disk', async () => {
  const backupRepository = await claimRepository(environment)
  await environment.createNamespace('shop')
  const metadata = encodeClaimMetadata({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'orders', namespace: 'shop' },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'vsphere-never',
      resources: { requests: { storage: '8Mi' } },
    },
  })
  const inner = Buffer.from(`ivd:${randomUUID()}:${randomUUID()}`).toString('base64').replace(/=+$/, '')
  const name = randomUUID()
  await environment.api.create({
    ...typeOf('CloneFromSnapshot'),
    metadata: { name, namespace: 'shop' },
    spec: {
      snapshotID: `pvc:shop/orders:${inner}`,
      metadata,
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository,
      cloneCancel: false,
    },
  })
  const isOver = (object: KubeObject | undefined) => object?.['status']?.phase === 'Failed'
  const { object } = await environment.waitFor('CloneFromSnapshot', 'shop', name, isOver, 120_000)
  assert.is(object['status'].reason, 'ClaimNeverBound')
  assert.match(object['status'].message, /was not bound within 5 s/)
  await environment.waitFor(
    'PersistentVolumeClaim',
    'shop',
    `dormouse-${object.metadata.uid}`,
    (claim) => claim === undefined,
  )
  assert.equal((await environment.vcenterState()).fcds, [])
})

neverBound.run()
