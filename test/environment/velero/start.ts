// Gives the environment its Velero: the default location over its bucket, and the server.

import path from 'node:path'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Faults } from '../faults/faults.ts'
import type { Api } from '../kubernetes/api.ts'
import { writeKubeconfig } from '../kubernetes/kubeconfig.ts'
import { waitForObject } from '../kubernetes/wait.ts'
import { VELERO_NAMESPACE } from '../options.ts'
import { findOwnNetwork } from '../process/tools.ts'
import type { Ground, Servers } from '../start.ts'
import { aLocation } from '../storage/location.ts'
import type { S3Server } from '../storage/s3.ts'
import { VeleroServer } from './server.ts'

export const DEFAULT_LOCATION = 'default'
/** Velero's part of the bucket: Velero refuses a prefix with folders that are not its own. */
export const VELERO_PREFIX = 'velero'

type Fronts = Servers & { faults: Faults | undefined }

/** Does nothing without the option `velero`. Resolves when backups may be made. */
export async function startVelero(
  ground: Ground,
  { controlPlane, s3, faults }: Fronts,
): Promise<VeleroServer | undefined> {
  const { settings, cleanups, logFolder, leash, tools } = ground
  if (settings.velero === undefined) return undefined
  const { api, caPem, kubeconfig } = controlPlane
  const folder = path.join(ground.folder, 'velero')
  const server = faults?.kubernetes.url ?? controlPlane.server
  const kubeconfigs = { server: path.join(ground.folder, 'velero.kubeconfig'), admin: kubeconfig }
  await writeKubeconfig(kubeconfigs.server, { server, caPem, token: api.options.token, user: 'velero' })
  await api.apply(aLocation(s3, DEFAULT_LOCATION, { prefix: VELERO_PREFIX, default: true }))
  const velero = new VeleroServer({
    ...{ folder, logFolder, leash, api, kubeconfigs },
    ownNetwork: await findOwnNetwork(),
    programs: { velero: tools.get('velero')!, objectStore: tools.get('velero-plugin-for-aws')! },
    ...settings.velero,
    env: { ...keysOf(s3), ...settings.velero.env },
    reach: [server, s3.shownUrl, ...(settings.velero.reach ?? [])],
  })
  await velero.prepare()
  cleanups.add('Velero', () => velero.down())
  faults?.know(() => velero.programs())
  await velero.up()
  await untilAvailable(api)
  return velero
}

/** For `velero.env` of an environment with a location in another environment's store: Velero uses the Secrets of its locations. */
export const KEYS_OF_LOCATIONS = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }

/**
 * At each use, Velero writes a location's credentials to one file, by truncating it first. A plugin that starts at that moment finds no keys
 * and asks the metadata service of a cloud, and the Backup is Failed; on a busy machine this happens once in a few hundred times. Keys in
 * the environment take precedence, so no test depends on that.
 */
function keysOf({ accessKeyId, secretAccessKey }: S3Server): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
}

async function untilAvailable(api: Api): Promise<void> {
  const isAvailable = (location: LooseObject | undefined) => location?.['status']?.phase === 'Available'
  const wanted = { kind: 'BackupStorageLocation', namespace: VELERO_NAMESPACE, name: DEFAULT_LOCATION } as const
  await waitForObject(api, wanted, isAvailable, 30_000)
}
