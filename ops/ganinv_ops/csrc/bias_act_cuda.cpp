// What PyTorch calls to run bias_act.cu: fills in its arguments. Compiled only where PyTorch has CUDA.
#include "bias_act.h"
#include "cuda_glue.h"

namespace {

at::Tensor like(const at::Tensor& t, const at::Tensor& model) {
  return t.strides() == model.strides() ? t : at::empty_like(model).copy_(t);
}

at::Tensor run(const std::optional<at::Tensor>& dy, const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim,
               int64_t act, double alpha, double gain, double clamp) {
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor y = at::empty_like(x);  // dense, in x's order of dimensions
  if (x.numel() == 0) return y;
  const at::Tensor dense = like(x, y), upstream = dy ? like(*dy, y) : at::Tensor();
  const at::Tensor bias = b ? b->to(x.scalar_type()).contiguous() : at::Tensor();
  ganinv::BiasAct p{};
  p.x = dense.const_data_ptr();
  p.upstream = dy ? upstream.const_data_ptr() : nullptr;
  p.y = y.mutable_data_ptr();
  p.size = x.numel(), p.run = 1, p.channels = 1;
  if (b) {
    p.bias = bias.const_data_ptr();
    p.channels = y.size(dim);
    p.run = p.channels == 1 ? p.size : y.stride(dim);
  }
  p.act = static_cast<int>(act);
  p.alpha = static_cast<float>(alpha), p.gain = static_cast<float>(gain), p.clamp = static_cast<float>(clamp);
  ganinv::check_launch(ganinv::launch_bias_act(p, ganinv::float_type(x), c10::cuda::getCurrentCUDAStream()));
  return y;
}

at::Tensor bias_act(const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim, int64_t act, double alpha,
                    double gain, double clamp) {
  return run(std::nullopt, x, b, dim, act, alpha, gain, clamp);
}

at::Tensor bias_act_grad(const at::Tensor& dy, const at::Tensor& x, const std::optional<at::Tensor>& b, int64_t dim,
                         int64_t act, double alpha, double gain, double clamp) {
  return run(dy, x, b, dim, act, alpha, gain, clamp);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(ganinv_ops, m) {
  m.def("bias_act_cuda(Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor");
  m.def(
      "bias_act_grad_cuda(Tensor dy, Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) "
      "-> Tensor");
}

TORCH_LIBRARY_IMPL(ganinv_ops, CUDA, m) {
  m.impl("bias_act_cuda", &bias_act);
  m.impl("bias_act_grad_cuda", &bias_act_grad);
}
