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
import { VeleroServer } from './server.ts'

export const DEFAULT_LOCATION = 'default'
/** Velero's part of the bucket: it refuses a place in which there are folders that are not its own. */
export const VELERO_PREFIX = 'velero'

type Fronts = Servers & { faults: Faults | undefined }

/** Without the option `velero`: none. Resolves when backups may be made. */
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
    reach: [server, s3.shownUrl, ...(settings.velero.reach ?? [])],
  })
  await velero.prepare()
  cleanups.add('Velero', () => velero.down())
  faults?.know(() => velero.programs())
  await velero.up()
  await untilAvailable(api)
  return velero
}

async function untilAvailable(api: Api): Promise<void> {
  const isAvailable = (location: LooseObject | undefined) => location?.['status']?.phase === 'Available'
  const wanted = { kind: 'BackupStorageLocation', namespace: VELERO_NAMESPACE, name: DEFAULT_LOCATION } as const
  await waitForObject(api, wanted, isAvailable, 30_000)
}
