// Generated from config/crd/backuprepositoryclaims.yaml by `make generate`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'

/**
 * Asks for a place to keep backups in. The repository function makes a BackupRepository for it and names that in backupRepository.
 */
export type BackupRepositoryClaim = {
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1'
  kind: 'BackupRepositoryClaim'
  metadata: ObjectMeta
  /**
   * Namespaces whose volumes are kept there; by habit the one of the volumes. Written by whoever makes the claim. In a claim outside of the Velero namespace, that namespace alone.
   *
   * @maxItems 10000
   *
   * Items: Name of a namespace.
   */
  allowedNamespaces?: string[]
  /**
   * Where the repository is: s3repository.astrolabe.vmware-tanzu.com for a bucket, folder.dormouse.dev for a folder, which only counts in a claim in the Velero namespace.
   */
  repositoryDriver: string
  /**
   * Settings of the repository (the spelling is the Velero Plugin for vSphere's). region, bucket, s3Url, s3ForcePathStyle, caCert and profile as in a BackupStorageLocation; for a folder only its path. aws_access_key_id and aws_secret_access_key of repositories that the Velero Plugin for vSphere made are read and reported with the condition PlaintextCredentials; Dormouse never writes them. In a claim outside of the Velero namespace only backupStorageLocation counts: the name of a BackupStorageLocation that an operator has opened to that namespace with the annotation dormouse.dev/allowed-namespaces; the other settings are taken from there.
   */
  repopsitoryParameters: {
    /**
     * Value of the setting.
     */
    [k: string]: string
  }
  /**
   * Name of the BackupRepository that serves this claim. Written by the repository function.
   */
  backupRepository?: string
  /**
   * What Dormouse found. The Velero Plugin for vSphere has no status here, and there is no status subresource.
   */
  status?: {
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
