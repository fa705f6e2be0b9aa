import type { World } from './world.ts'

export const title = 'a rotation and a compromise with keys in a PKCS#11 token, the server killed eight times'

export default (world: World): Promise<void> => world.end('token')
