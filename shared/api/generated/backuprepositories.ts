// Generated from config/crd/backuprepositories.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * A place where backups are kept. Made by the repository function for one BackupRepositoryClaim, with the name br-<UID of the claim>; Snapshots, restores and deletions refer to it by that name. The annotation dormouse.dev/claim-namespace names the namespace of that claim.
 */
export type BackupRepository = {
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1'
  kind: 'BackupRepository'
  metadata: ObjectMeta
  /**
   * Namespaces whose volumes are kept there. Copied from the claim; an empty list allows all. Snapshots of others end with the reason NamespaceNotAllowed.
   *
   * @maxItems 10000
   *
   * Items: Name of a namespace.
   */
  allowedNamespaces: string[]
  /**
   * Where the repository is: s3repository.astrolabe.vmware-tanzu.com for a bucket, folder.dormouse.dev for a folder.
   */
  repositoryDriver: string
  /**
   * Settings of the repository (the spelling is the Velero Plugin for vSphere's). region, bucket, s3Url, s3ForcePathStyle, caCert and profile as in a BackupStorageLocation; for a folder only its path. aws_access_key_id and aws_secret_access_key of repositories that the Velero Plugin for vSphere made are read and reported with the condition PlaintextCredentials; Dormouse never writes them.
   */
  repopsitoryParameters: {
    /**
     * Value of the setting.
     */
    [k: string]: string
  }
  /**
   * Name of the claim that this was made for.
   */
  backupRepositoryClaim: string
  /**
   * Name of the BackupRepository in the Supervisor that stands behind this one. Absent outside of guest clusters.
   */
  svcBackupRepositoryName?: string
  /**
   * What Dormouse found. The Velero Plugin for vSphere has no status here, and there is no status subresource.
   */
  status?: {
    /**
     * Name of the BackupStorageLocation that the parameters were copied from: the repository is opened with the settings that it has today, or that another one has which points at the same bucket, prefix and endpoint. Empty: the parameters count as they are. Written by Dormouse.
     */
    storageLocation?: string
    /**
     * Id of the repository in the bucket, as it was opened. A place that the location was moved to must hold the same one. Written by Dormouse.
     */
    repositoryId?: string
    /**
     * Why the object is in its phase, as a CamelCase word that does not change between versions; docs/operations/reasons.md says what to do about each. Empty while all is well. Written by Dormouse.
     */
    reason?: string
    /**
     * What is known of this object beside its phase, one entry for each type. Written by Dormouse; the peer has none.
     */
    conditions?: Condition[]
  }
}
