// A second cluster on the same vCenter and in the same bucket, whose objects must stay untouched.

import * as assert from 'node:assert/strict'
import { HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { systemClock } from '#shared/kernel/clock.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import type { Environment } from '#test/environment/environment.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'

const MIB = 2 ** 20
const CLUSTER_ID = 'another-cluster'
const PREFIX = `${CLUSTER_ID}/plugins/dormouse/`
/** As a running backup and a finished one leave them: session, packs, a checkpoint and a root. */
const KEYS = [
  'config',
  'session/aa',
  'packs/aa/00000001',
  'checkpoint/aa/00000001-0001',
  'packs/bb/00000001',
  'roots/bb',
]

export type Bystander = {
  fcdId: string
  /** Rejects when a byte, an object or a snapshot of the second cluster has changed. */
  assertUntouched: () => Promise<void>
}

export async function standBy(environment: Environment): Promise<Bystander> {
  const disk = await environment.vcenter.createDisk({ name: 'of another cluster', capacityBytes: 4 * MIB, cbt: true })
  await writePieces(disk.path, [{ offsetBytes: 0, data: noise(CLUSTER_ID, MIB) }])
  await takeSnapshots(environment, disk.id)
  for (const key of KEYS) {
    const body = noise(key, 4096)
    await environment.s3.client.send(
      new PutObjectCommand({ Bucket: environment.s3.bucket, Key: PREFIX + key, Body: body }),
    )
  }
  const before = await look(environment, disk.id)
  return {
    fcdId: disk.id,
    assertUntouched: async () =>
      assert.deepEqual(await look(environment, disk.id), before, 'the other cluster was touched'),
  }
}

/** Two disk snapshots: one like that of a running backup, and one that looks like an orphan. */
async function takeSnapshots({ vcenter, parts }: Environment, fcdId: string): Promise<void> {
  const service = createVolumeService({
    loadConfig: async () => ({
      clusterId: CLUSTER_ID,
      vcenters: [
        {
          ...{ host: vcenter.host, port: vcenter.port, user: vcenter.user, password: vcenter.password },
          ...{ insecure: false, caPem: parts.controlPlane.caPem },
        },
      ],
    }),
    clock: systemClock,
  })
  try {
    for (const uid of ['3f1f0f4e-0000-4000-8000-000000000001', '3f1f0f4e-0000-4000-8000-000000000002']) {
      const task = await service.startSnapshot(fcdId, `dormouse/${CLUSTER_ID}/${uid}`)
      while ((await service.pollTask(task)).state === 'running') await systemClock.sleep(50)
    }
  } finally {
    await service.close()
  }
}

async function look(environment: Environment, fcdId: string): Promise<object> {
  const disk = await environment.vcenter.disk(fcdId)
  const { client, bucket } = environment.s3
  const objects = await environment.bucketObjects(`${CLUSTER_ID}/`)
  const heads = objects.map(async ({ key }) => {
    const { ETag, LastModified, ContentLength } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))
    return { key, ETag, LastModified, ContentLength }
  })
  return { disk, data: disk === undefined ? undefined : await sha256(disk.path), objects: await Promise.all(heads) }
}
