"""Base of the lifecycle nodes: a rejected transition is logged with its cause; one flag allows work."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from apo_core.errors import ApoError


class LifecycleBase(LifecycleNode):
    """A node with `configure`, `activate`, `deactivate` and `cleanup` hooks; `is_active` is whether it may work."""

    def __init__(self, name: str):
        super().__init__(name)
        self.is_active = False
        self._is_configured = False
        self.declare_parameter(
            "autostart", True, ParameterDescriptor(description="configure and activate at start", read_only=True)
        )
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = self._rejecting(service.callback)

    def configure(self) -> None:
        """Makes what work needs; raises ApoError to reject."""

    def activate(self) -> None:
        """Begins to work."""

    def deactivate(self) -> None:
        """Sends what must be sent last, then stops working."""

    def cleanup(self) -> None:
        """Undoes `configure`."""

    def _rejecting(self, change: Callable) -> Callable:
        """Answers a request for a transition that the state does not have; rclpy lets it end the process."""

        def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, response)
            except RuntimeError as error:
                wanted = request.transition.label or request.transition.id
                self.get_logger().warning(f"transition {wanted} rejected: {str(error).partition(', at ')[0]}")
                response.success = False
                return response

        return answer

    def _attempt(self, what: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            hook()
        except ApoError as error:
            self.get_logger().error(f"{what} rejected: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would drop it silently
            self.get_logger().error(f"{what} failed:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._attempt("configure", self.configure)
        self._is_configured = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._attempt("activate", self.activate)
        self.is_active = result == TransitionCallbackReturn.SUCCESS
        super().on_activate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._stop()
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._is_configured = False
        return self._attempt("cleanup", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        return super().on_error(state)

    def _stop(self) -> TransitionCallbackReturn:
        # first of all: messages that wait already must not lead to work after the last command
        self.is_active = False
        return self._attempt("deactivate", self.deactivate)

    def _end(self) -> None:
        if self.is_active:
            self._stop()
        if self._is_configured:
            self._is_configured = False
            self._attempt("cleanup", self.cleanup)
