import type { KeyAlgorithm } from './algorithms.ts'
import { PrivateKey } from './private-key.ts'
import { authorityIdOf } from './public-key.ts'
import { readKeyFile, storedKey } from './stored-key.ts'
import type { KeyFiles, KeyVault } from './vault.ts'

const fileOf = (id: string) => `root-${id.slice(0, 16)}.key.pem`

/** Root keys in the clear, PKCS#8 PEM: for dev mode, and nothing else. */
export class PlainKeys implements KeyVault {
  readonly home = 'file'

  async make(algorithm: KeyAlgorithm, files: KeyFiles): Promise<PrivateKey> {
    return this.take(await PrivateKey.generate(algorithm), files)
  }

  async take(key: PrivateKey, files: KeyFiles): Promise<PrivateKey> {
    const id = authorityIdOf(key.publicKey.spki)
    // Taking a key again after a crash finds what was durable then.
    if (await files.read(fileOf(id))) return this.open(id, files)
    await key.store((pem) => files.write(fileOf(id), pem))
    return key
  }

  destroy(id: string, files: KeyFiles): Promise<boolean> {
    return files.remove(fileOf(id))
  }

  async open(id: string, files: KeyFiles): Promise<PrivateKey> {
    const name = fileOf(id)
    const pem = await readKeyFile(name, files)
    try {
      return storedKey(name, id, () => PrivateKey.fromPem(pem))
    } finally {
      pem.fill(0)
    }
  }
}
