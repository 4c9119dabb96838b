/**
 * Import before anything that opens a GPU. Without one, tests run on Mesa's lavapipe, which compiles every kernel for the
 * CPU: for vectors of 128 bits in a third of the time that 512 take.
 */
process.env["LP_NATIVE_VECTOR_WIDTH"] ??= "128";
